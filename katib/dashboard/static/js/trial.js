// The page of a trial: its header, the curves of its metrics and its log, while it runs.
import {actions} from './act.js';
import {Chart, GRID, axis, colour, tip, tooltip} from './chart.js';
import {drawable, logBox} from './logarithm.js';
import {trialLog} from './log.js';
import {element, getJson, number, put, repeat} from './page.js';
import {valueAxis} from './scale.js';

const box = document.getElementById('trial');
const id = box.dataset.id;
const header = box.querySelector('[data-fragment="header"]');
const grid = document.getElementById('metrics');
const none = document.getElementById('no-metrics');
const charts = new Map();
const logarithmic = logBox('metrics', () => charts.forEach(({chart}) => chart.refresh()));

function curve(name) {
  const canvas = element('div', {className: 'chart small', role: 'img', 'aria-label': `Values of ${name}`});
  const title = element('h3', {textContent: name});
  const last = element('span', {className: 'muted num'});
  const below = element('span', {className: 'muted'});
  grid.append(element('div', {}, title, last, below, canvas));
  const it = {points: [], last, below};
  it.chart = new Chart(canvas, () => {
    const finite = it.points.filter(([, value]) => Number.isFinite(Number(value)));
    if (!finite.length) return 'No finite value yet.';
    const log = logarithmic();
    const data = finite.filter(([, value]) => drawable(Number(value), log));
    it.below.textContent = data.length < finite.length ? `; ${finite.length - data.length} not above 0 are not shown` : '';
    if (!data.length) return 'No value is above 0, where logarithms begin.';
    return {
      grid: {...GRID, bottom: 28, top: 12},
      tooltip: {...tooltip(([{data: [x, y]}]) => tip(name, [[`at ${x}`, number(y)]])), trigger: 'axis'},
      xAxis: axis('', {splitLine: {show: false}, minInterval: 1}),
      yAxis: valueAxis(log, data.map(([, value]) => Number(value))),
      series: [{type: 'line', data, showSymbol: data.length < 3, lineStyle: {color: colour('running'), width: 1.8}, itemStyle: {color: colour('running')}}],
    };
  });
  return it;
}

// Back to the study as it was seen: the address that the reader comes from has the table's filter, order and page.
const up = document.getElementById('to-study');
const [kept, from] = [`katib-back ${up.href}`, document.referrer.split('?')[0]];
try {
  // Also by way of the trials beside this one.
  if (from === up.href) sessionStorage.setItem(kept, document.referrer);
  if (from === up.href || from.startsWith(`${up.href}/`)) up.href = sessionStorage.getItem(kept) ?? up.href;
} catch { /* where a browser keeps nothing, back to the study as it comes */ }

// That of a client has no output here.
const addAttempts = document.getElementById('log') ? trialLog(id) : () => {};

const poll = repeat(async () => {
  const state = await getJson(`/api/trials/${id}`);
  put(header, state.header);
  for (const [name, points] of Object.entries(state.metrics)) {
    if (!charts.has(name)) charts.set(name, curve(name));
    const it = charts.get(name);
    it.points = points;
    it.last.textContent = `latest ${number(points.at(-1)[1])}`;
    it.chart.refresh();
  }
  none.textContent = state.finished ? 'It has reported no values.' : 'No values have been reported yet.';
  none.hidden = charts.size > 0;
  document.getElementById('metrics-cut').hidden = !state.cut;
  addAttempts(state.attempt);
  box.dataset.ready = '1';
  return !state.finished;
}, 2000);

actions(`/api/trials/${id}`, poll);
