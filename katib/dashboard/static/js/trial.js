// The page of a trial: its header, the curves of its metrics and its log, while it runs.
import {actions} from './act.js';
import {Chart, GRID, axis, colour, tip, tooltip} from './chart.js';
import {trialLog} from './log.js';
import {element, getJson, number, put, repeat} from './page.js';

const box = document.getElementById('trial');
const id = box.dataset.id;
const header = box.querySelector('[data-fragment="header"]');
const grid = document.getElementById('metrics');
const none = document.getElementById('no-metrics');
const charts = new Map();

function curve(name) {
  const canvas = element('div', {className: 'chart small', role: 'img', 'aria-label': `Values of ${name}`});
  const title = element('h3', {textContent: name});
  const last = element('span', {className: 'muted num'});
  grid.append(element('div', {}, title, last, canvas));
  const it = {points: [], last};
  it.chart = new Chart(canvas, () => {
    const data = it.points.filter(([, value]) => Number.isFinite(Number(value)));
    if (!data.length) return 'No finite value yet.';
    return {
      grid: {...GRID, bottom: 28, top: 12},
      tooltip: {...tooltip(([{data: [x, y]}]) => tip(name, [[`at ${x}`, number(y)]])), trigger: 'axis'},
      xAxis: axis('', {splitLine: {show: false}, minInterval: 1}),
      yAxis: axis(''),
      series: [{type: 'line', data, showSymbol: data.length < 3, lineStyle: {color: colour('running'), width: 1.8}, itemStyle: {color: colour('running')}}],
    };
  });
  return it;
}

// Back to the study as it was seen: the address that the reader comes from has the table's filter, order and page.
const up = document.getElementById('to-study');
if (document.referrer.split('?')[0] === up.href) up.href = document.referrer;

const addAttempts = trialLog(id);

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
