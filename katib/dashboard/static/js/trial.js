// The page of a trial: its header, the curves of its metrics and its log, while it runs.
import {actions} from './act.js';
import {Chart, GRID, axis, colour, tip, tooltip} from './chart.js';
import {element, getJson, number, put, repeat, request} from './page.js';

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
  none.textContent = 'No values have been reported yet.';
  none.hidden = charts.size > 0;
  document.getElementById('metrics-cut').hidden = !state.cut;
  addAttempts(state.attempt);
  box.dataset.ready = '1';
  return !state.finished;
}, 2000);

// The log. Of a long one the end is shown; what is far above is let go.
const KEPT = 400000;
const log = document.getElementById('log');
const note = document.getElementById('log-note');
const chosen = document.getElementById('log-attempt');
const follow = document.getElementById('log-follow');
let reading = 0;

function addAttempts(latest) {
  const known = Math.max(...[...chosen.options].map((option) => Number(option.value)));
  const newest = Number(chosen.value) === known;
  for (let n = known + 1; n <= latest; n += 1) chosen.prepend(element('option', {textContent: n}));
  if (latest > known && newest) { chosen.value = latest; read(); }
}

function read() {
  const mine = ++reading;
  const attempt = chosen.value;
  const decoder = new TextDecoder();
  let offset = -65536;
  log.replaceChildren();
  note.textContent = 'Loading…';
  repeat(async () => {
    let response;
    do {
      if (mine !== reading) return false;
      response = await request(`/api/trials/${id}/log?attempt=${attempt}&offset=${offset}`).catch((error) => {
        if (error.away) throw error;
        note.textContent = `There is no log: ${error.message}`;
        return null;
      });
      if (!response || mine !== reading) return false;
      const next = Number(response.headers.get('x-next-offset'));
      const text = decoder.decode(await response.arrayBuffer(), {stream: true});
      if (text) append(text);
      if (next === offset || !text) break;
      offset = next;
    } while (true);
    offset = Number(response.headers.get('x-next-offset'));
    const finished = response.headers.get('x-finished') === '1';
    note.textContent = log.textContent ? (finished ? 'This is all that it printed, or the end of it.' : 'Live.')
      : finished ? 'It printed nothing.' : 'It has printed nothing yet.';
    log.dataset.ready = '1';
    return !finished;
  }, 1000);
}

function append(text) {
  // A progress bar writes over its line: what counts is what it wrote last.
  log.append(text.replace(/\r\n/g, '\n').replace(/[^\n]*\r(?=[^\n])/g, ''));
  if (log.textContent.length > KEPT) log.textContent = log.textContent.slice(-KEPT / 2);
  if (follow.checked) log.scrollTop = log.scrollHeight;
}
chosen.addEventListener('change', read);
read();
actions(`/api/trials/${id}`, poll);
