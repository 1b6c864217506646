// When each trial ran, in as many lanes as ran at the same time.
import {Chart, GRID, axis, colour, tip, tooltip} from './chart.js';
import {number, period} from './page.js';
import {STATES} from './trials.js';
import {trialLink} from './trial-table.js';

const MOST = 600;
// What a clock has, in seconds.
const STEPS = [.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000];
const COLOURS = {P: 'pending', R: 'running', C: 'completed', K: 'killed', E: 'failed'};

export function timelineChart(study, trials, now) {
  const note = document.getElementById('timeline-note');
  const said = note.textContent;
  const draw = () => {
    const started = trials.all.filter((t) => t.started !== null);
    const run = started.slice(-MOST);
    if (!run.length) return 'No trial has started yet.';
    run.sort((a, b) => a.started - b.started);
    const free = [];
    const bars = run.map((t) => {
      const end = t.ended ?? now();
      let lane = free.findIndex((until) => until <= t.started + 1e-6);
      if (lane < 0) lane = free.length;
      free[lane] = end;
      return [t.started, end, lane, t.number];
    });
    note.textContent = `${said} At most ${free.length} at once${run.length < started.length ? `; the latest ${MOST} of ${started.length.toLocaleString('en')} trials` : ''}.`;
    const last = bars.reduce((most, [, end]) => Math.max(most, end), 0);
    // Where others came before, time begins with the first one that is drawn.
    const first = run.length < started.length ? run[0].started : 0;
    const step = STEPS.find((size) => size * 8 >= last - first) ?? (last - first) / 8;
    const begin = Math.floor(first / step) * step || 0;
    chart.box.style.height = `${Math.min(Math.max(free.length * 30, 60), 360) + GRID.top + GRID.bottom}px`;
    return {
      label: `${run.length} trials over time${begin ? `, from ${period(begin)} on` : ''}, at most ${free.length} at once`,
      grid: {...GRID, left: 20},
      tooltip: tooltip(({data}) => {
        const t = trials.byNumber.get(data[3]);
        return tip(`Trial ${t.number}`, [['State', STATES[t.state]], ['Ran', period(data[1] - data[0])], [study.objective, number(t.objective)], ...(t.reason ? [['', t.reason]] : [])]);
      }),
      xAxis: axis('Since the study was created', {splitLine: {show: false}, min: begin, max: last || 1, interval: step, axisLabel: {color: colour('muted'), hideOverlap: true, formatter: (s) => period(s)}}),
      yAxis: {type: 'value', min: -.5, max: Math.max(free.length, 2) - .5, show: false},
      series: [{
        type: 'custom', data: bars, encode: {x: [0, 1], y: 2}, renderItem: (_, api) => {
          const [x, y] = api.coord([api.value(0), api.value(2)]);
          const [end] = api.coord([api.value(1), api.value(2)]);
          const height = Math.min(api.size([0, 1])[1] * .72, 26);
          const state = trials.byNumber.get(api.value(3)).state;
          return {type: 'rect', shape: {x, y: y - height / 2, width: Math.max(end - x - 1, 1.5), height, r: 2}, style: {fill: colour(COLOURS[state]), opacity: .85}};
        },
      }],
    };
  };
  const chart = new Chart(document.querySelector('[data-chart="timeline"]'), draw, {click: ({data}) => {
    const trial = trials.byNumber.get(data[3]);
    if (trial) location.href = trialLink(study.id, trial);
  }});
  return chart;
}
