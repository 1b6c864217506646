// When each trial ran, in as many lanes as ran at the same time.
import {Chart, GRID, axis, colour, tip, tooltip} from './chart.js';
import {number, period} from './page.js';
import {STATES} from './trials.js';
import {trialLink} from './trial-table.js';

const MOST = 600;
const COLOURS = {P: 'pending', R: 'running', C: 'completed', K: 'killed', E: 'failed'};

export function timelineChart(study, trials, now) {
  const note = document.getElementById('timeline-note');
  const said = note.textContent;
  const draw = () => {
    const run = trials.all.filter((t) => t.started !== null).slice(-MOST);
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
    note.textContent = `${said} At most ${free.length} at once${run.length === MOST ? `; the latest ${MOST} trials` : ''}.`;
    return {
      grid: {...GRID, left: 20},
      tooltip: tooltip(({data}) => {
        const t = trials.byNumber.get(data[3]);
        return tip(`Trial ${t.number}`, [['State', STATES[t.state]], ['Ran', period(data[1] - data[0])], [study.objective, number(t.objective)], ...(t.reason ? [['', t.reason]] : [])]);
      }),
      xAxis: axis('Since the study was created', {splitLine: {show: false}, axisLabel: {color: colour('muted'), hideOverlap: true, formatter: (s) => period(s)}}),
      yAxis: {type: 'value', min: -.5, max: Math.max(free.length, 4) - .5, show: false},
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
  return new Chart(document.querySelector('[data-chart="timeline"]'), draw, {click: ({data}) => {
    const trial = trials.byNumber.get(data[3]);
    if (trial) location.href = trialLink(study.id, trial);
  }});
}
