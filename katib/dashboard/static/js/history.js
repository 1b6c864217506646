// Optimisation history: each trial's objective, or another metric, by number, and the best so far as steps.
import {Chart, GRID, axis, colour, tipOf, tooltip} from './chart.js';
import {drawable, logBox} from './logarithm.js';
import {number} from './page.js';
import {valueAxis} from './scale.js';
import {trialLink} from './trial-table.js';

export function historyChart(study, trials) {
  const box = document.querySelector('[data-chart="history"]');
  const note = document.getElementById('history-missing');
  const tell = (text) => { [note.textContent, note.hidden] = [text, !text]; };
  // Not there where the objective is the only metric.
  const metric = document.getElementById('history-metric');
  const logarithmic = logBox('history', () => chart.refresh());
  const draw = () => {
    const name = metric?.value ?? study.objective;
    const aimed = name === study.objective;
    const log = logarithmic();
    const valueOf = aimed ? (trial) => trial.objective : (trial) => trial.metrics?.[name];
    const groups = {C: [], K: [], E: [], R: []};
    const line = [];
    let best = null;
    let below = 0;
    for (const trial of trials.all) {
      const value = valueOf(trial);
      if (!Number.isFinite(value)) continue;
      if (aimed && trials.revision && trial.state === 'C' && (best === null || (study.up ? value > best : value < best))) {
        best = value;
        line.push([trial.number, best]);
      }
      if (drawable(value, log)) groups[trial.state === 'P' ? 'R' : trial.state].push([trial.number, value]);
      else below += 1;
    }
    const every = Object.values(groups).flat();
    const count = (is) => trials.all.filter((trial) => trial.state === 'C' && is(valueOf(trial))).length;
    const [endless, none] = [count((value) => Math.abs(value) === Infinity), count(Number.isNaN)];
    const missing = [below && `${below} not above 0`, endless && `${endless} infinite`, none && `${none} nan`].filter(Boolean);
    tell('');
    if (!every.length) {
      if (below) return `No value of ${name} is above 0, where logarithms begin.`;
      if (missing.length) return `No value of ${name} can be drawn: ${missing.join(', ')}.`;
      return aimed ? 'No trial has a value of the objective yet.' : `No trial that has ended has a value of ${name} yet.`;
    }
    // An infinite one may be the best, and is no part of the line.
    const found = aimed && Math.abs(trials.best?.objective) === Infinity ? [trials.best.number, trials.best.objective] : line.at(-1);
    const at = found && trials.best?.objective === found[1] ? trials.best.number : found?.[0];
    if (line.length) line.push([trials.all.at(-1).number, best]);
    const dots = (name, data, of, symbol) => ({
      // Many in one go: in pieces, as ECharts would draw them otherwise, they take ten times as long.
      name, type: 'scatter', data, symbol, large: data.length > 2000, symbolSize: data.length > 2000 ? 3 : 7, itemStyle: {color: colour(of), opacity: data.length > 500 ? .55 : .8},
    });
    // Not ECharts' own step line: it leaves out what rises by less than a pixel, and then slopes.
    const ink = colour('text');
    const steps = (name, corners) => ({
      name, type: 'custom', silent: true, clip: true, z: 5, encode: {x: [0, 1], y: 2},
      data: corners.slice(0, -1).map(([x, y], i) => [x, corners[i + 1][0], y, corners[Math.max(i - 1, 0)][1]]),
      renderItem: (_, api) => ({
        type: 'polyline', shape: {points: [api.coord([api.value(0), api.value(3)]), api.coord([api.value(0), api.value(2)]), api.coord([api.value(1), api.value(2)])]},
        style: {fill: null, stroke: ink, lineWidth: 1.6},
      }),
    });
    // What a logarithm makes near, and a metric of which nobody knows which end is the better one, is all in the picture.
    const [low, high] = log || !aimed ? [] : range(groups.C.map((point) => point[1]), study.up);
    const off = every.filter(([, y]) => y < low || y > high).length;
    if (off) missing.unshift(`${off} beyond the ${study.up ? 'lower' : 'upper'} end`);
    const unseen = missing.join(', ');
    tell(unseen && `Not shown: ${unseen}.`);
    return {
      label: `${aimed ? 'Optimisation history' : name} of ${trials.revision ? '' : 'the newest '}${trials.all.length} trials${found ? `; the best has ${number(found[1])}, trial ${at}` : ''}${unseen ? `; not shown: ${unseen}` : ''}`,
      grid: GRID,
      tooltip: tooltip(({data, seriesName}) => (seriesName === 'Best so far' ? '' : tipOf(trials.byNumber.get(data[0]), study, trials))),
      xAxis: axis('Trial', {min: 0, minInterval: 1, splitLine: {show: false}}),
      yAxis: valueAxis(log, every.map(([, y]) => y), {min: low, max: high}),
      series: [
        dots('Completed', groups.C, 'completed', 'circle'),
        dots('Killed', groups.K, 'killed', 'diamond'),
        dots('Failed', groups.E, 'failed', 'triangle'),
        dots('Running', groups.R, 'running', 'emptyCircle'),
        // Up to what has no logarithm, below which nothing can be drawn.
        steps('Best so far', line.filter(([, y]) => drawable(y, log))),
        ...(aimed && drawable(study.goal, log) ? [{name: 'Goal', type: 'line', silent: true, showSymbol: false, data: [[0, study.goal], [trials.all.at(-1).number, study.goal]], lineStyle: {color: colour('muted'), type: 'dashed', width: 1.2}}] : []),
      ],
    };
  };
  const chart = new Chart(box, draw, {click: ({data}) => {
    const trial = trials.byNumber.get(data[0]);
    if (trial) location.href = trialLink(study.id, trial);
  }});
  metric?.addEventListener('change', () => chart.refresh());
  return chart;
}

// Where the values lie, without a few so much worse that nothing else could be told apart. However far off, the better ones are
// what is looked for.
function range(values, up) {
  if (values.length < 20) return [undefined, undefined];
  const sorted = Float64Array.from(values).sort();
  const [a, b] = [sorted[Math.floor(sorted.length * .05)], sorted[Math.floor(sorted.length * .95)]];
  const room = (b - a) * 2;
  if (up) return [sorted[0] < a - room ? a - room : undefined, undefined];
  return [undefined, sorted.at(-1) > b + room ? b + room : undefined];
}
