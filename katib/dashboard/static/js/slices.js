// The objective over each parameter alone, and over two of them.
import {Chart, GRID, colour, tipOf, tooltip} from './chart.js';
import {drawable, logBox} from './logarithm.js';
import {element} from './page.js';
import {ranker, shade, unit, unitAxis, valueAxis} from './scale.js';
import {trialLink} from './trial-table.js';
import {partly} from './trials.js';

const MOST = 2000;
const PLOTS = 24;
const CELLS = 36;
// Points beyond these would make a drawing slow and no better.
const NEAR = 400;

const opener = (study, trials) => ({data}) => {
  const trial = trials.byNumber.get(data?.[2]);
  if (trial) location.href = trialLink(study.id, trial);
};

export function sliceCharts(study, trials) {
  const grid = document.getElementById('slice-grid');
  const note = document.getElementById('slices-note');
  let charts = [];
  const logarithmic = logBox('slices', () => refresh());
  const make = () => {
    const axes = trials.chosenAxes(PLOTS);
    charts.forEach((chart) => chart.close());
    grid.replaceChildren();
    charts = axes.map(([i, a]) => {
      const box = element('div', {className: 'chart small', role: 'img', 'aria-label': `${study.objective} over ${a.name}`});
      grid.append(box);
      return new Chart(box, () => {
        const completed = trials.latest(MOST);
        if (!completed.length) return 'No trial has completed with a value that can be drawn yet.';
        const log = logarithmic();
        const points = completed.filter((t) => drawable(t.objective, log));
        if (!points.length) return `No value of ${study.objective} is above 0, where logarithms begin.`;
        const rank = ranker(points.map((t) => t.number), true);
        return {
          grid: {...GRID, left: 56},
          tooltip: tooltip(({data}) => tipOf(trials.byNumber.get(data[2]), study, trials)),
          xAxis: unitAxis(a),
          yAxis: valueAxis(log, points.map((t) => t.objective)),
          // Later trials are darker, as time goes on.
          series: [{type: 'scatter', clip: false, symbolSize: points.length > 500 ? 4 : 7, data: points.map((t) => [unit(a, t.values[i]), t.objective, t.number]),
            itemStyle: {color: ({data}) => shade(.35 + .65 * rank(data[2])), opacity: .85}}],
        };
      }, {click: opener(study, trials)});
    });
  };
  let drawn = null;
  const refresh = () => {
    const chosen = trials.chosenAxes(PLOTS).map(([i]) => i).join();
    if (chosen !== drawn) {
      drawn = chosen;
      make();
    }
    const shown = trials.latest(MOST);
    const below = logarithmic() ? shown.filter((t) => !drawable(t.objective, true)).length : 0;
    note.textContent = [trials.someAxes(PLOTS), partly(shown.length, trials.completed.length), below && `${below} not above 0 are not shown.`].filter(Boolean).join(' ');
    note.hidden = !note.textContent;
    charts.forEach((chart) => chart.refresh());
  };
  return {refresh};
}

export function contourChart(study, trials) {
  const note = document.getElementById('contour-note');
  const said = note.textContent;
  const [xs, ys] = [document.getElementById('contour-x'), document.getElementById('contour-y')];
  const draw = () => {
    const [i, j] = [Number(xs.value), Number(ys.value)];
    if (trials.axes.length < 2) return 'This needs two parameters.';
    if (i === j) return 'Choose two different parameters.';
    const [a, b] = [trials.axes[i], trials.axes[j]];
    const shown = trials.latest(MOST);
    const points = shown.map((t) => [unit(a, t.values[i]), unit(b, t.values[j]), t.number, t.objective]).filter(([x, y]) => Number.isFinite(x + y));
    if (points.length < 3) return 'This needs three completed trials.';
    const rank = ranker(points.map((p) => p[3]), study.up);
    const best = trials.best?.number;
    note.textContent = `${said} ${partly(shown.length, trials.completed.length)}`;
    const [ground, ink, gold] = [colour('surface'), colour('text'), colour('best')];
    const near = points.slice(-NEAR).map((p) => [p[0], p[1], rank(p[3])]);
    const cells = [];
    for (let column = 0; column < CELLS; column += 1) {
      for (let row = 0; row < CELLS; row += 1) {
        const [x, y] = [(column + .5) / CELLS, (row + .5) / CELLS];
        let [sum, weight] = [0, 0];
        for (const [px, py, r] of near) {
          const w = 1 / ((px - x) ** 2 + (py - y) ** 2 + 1e-4) ** 1.5;
          sum += w * r;
          weight += w;
        }
        cells.push([x, y, sum / weight]);
      }
    }
    return {
      grid: {...GRID, left: 78},
      tooltip: tooltip(({seriesType, data}) => (seriesType === 'custom' ? '' : tipOf(trials.byNumber.get(data[2]), study, trials))),
      xAxis: unitAxis(a),
      yAxis: {...unitAxis(b, 56)},
      series: [{
        type: 'custom', silent: true, data: cells, renderItem: (_, api) => {
          const [x, y] = api.coord([api.value(0) - .5 / CELLS, api.value(1) + .5 / CELLS]);
          const [width, height] = api.size([1 / CELLS, 1 / CELLS]);
          // On whole pixels, or seams show between them.
          const [left, top] = [Math.floor(x), Math.floor(y)];
          return {type: 'rect', shape: {x: left, y: top, width: Math.ceil(x + width) - left, height: Math.ceil(y + height) - top}, style: {fill: shade(api.value(2))}};
        },
      }, {
        type: 'scatter', symbolSize: ([, , n]) => (n === best ? 12 : points.length > 500 ? 3 : 6), data: [...points].sort((a, b) => (a[2] === best) - (b[2] === best)), clip: false,
        itemStyle: {color: ({data}) => (data[2] === best ? gold : ground), borderColor: ink, borderWidth: points.length > 500 ? .5 : 1},
      }],
    };
  };
  const chart = new Chart(document.querySelector('[data-chart="contour"]'), draw, {click: opener(study, trials)});
  for (const select of [xs, ys]) select.addEventListener('change', () => chart.refresh());
  return chart;
}
