// The page of a study: reads its trials once, then only what changes, and keeps every part of the page up to date.
import {actions} from './act.js';
import {getJson, period, put, repeat} from './page.js';
import {Trials} from './trials.js';
import {TrialTable} from './trial-table.js';

const LIVE_MS = 2000;
const ENDED_MS = 10000;

const box = document.getElementById('study');
const study = {
  id: box.dataset.id,
  objective: box.dataset.objective,
  up: box.dataset.up === '1',
  goal: box.dataset.goal === '' ? NaN : Number(box.dataset.goal),
  metrics: JSON.parse(box.dataset.metrics),
};
const trials = new Trials(JSON.parse(box.dataset.axes));
const table = new TrialTable(study, trials, Number(box.dataset.epoch));
const header = box.querySelector('[data-fragment="header"]');
const left = document.getElementById('left');
// The table of the newest trials is there to be read before what draws is begun, which takes a while; where nothing is painted, at once.
const painted = new Promise((then) => { requestAnimationFrame(() => setTimeout(then)); setTimeout(then, 200); });
const idle = (then) => (window.requestIdleCallback ? requestIdleCallback(then, {timeout: 500}) : setTimeout(then));
const charts = painted.then(() => Promise.all(['history', 'curves', 'parallel', 'slices', 'timeline', 'importance'].map((name) => import(`./${name}.js`))))
  .then(([history, curves, parallel, slices, timeline, importance]) => {
    const drawn = [
      history.historyChart(study, trials),
      parallel.parallelChart(study, trials, table),
      slices.sliceCharts(study, trials),
      slices.contourChart(study, trials),
      timeline.timelineChart(study, trials, () => table.now()),
    ];
    const asked = [new curves.Curves(study, trials, table), new importance.Importance(study, trials)];
    const draw = () => drawn.forEach((chart) => chart.refresh());
    const refresh = async () => {
      // What is asked for is on its way while the others are drawn.
      const coming = Promise.all([...asked.map((part) => part.update()), takeMetrics()]);
      draw();
      await coming;
    };
    // The newest trials are a history too, which makes everything ready for that of all; whoever wants something else comes first.
    idle(() => {
      if (trials.revision || !trials.all.some((trial) => Number.isFinite(trial.objective))) return;
      note.textContent = `${said} These are the newest ${trials.all.length}; the others are being loaded.`;
      drawn[0].refresh();
    });
    return {draw, refresh};
  });

// The metrics beside the objective, for the table: again when trials have finished, and not more often than every ten seconds.
let metricsAt = 0;
let metricsOf = -1;
async function takeMetrics() {
  const finished = trials.all.filter((trial) => trial.ended !== null).length;
  if (study.metrics.every((name) => name === study.objective) || finished === metricsOf || Date.now() < metricsAt + 10000) return;
  metricsAt = Date.now();
  metricsOf = finished;
  let answer;
  try {
    answer = await getJson(`/api/studies/${study.id}/metrics`);
  } catch (error) {
    if (!error.retryAfter) throw error;
    // It is being read for others.
    [metricsAt, metricsOf] = [0, -1];
    setTimeout(() => takeMetrics().catch(() => { metricsOf = -1; }), error.retryAfter * (1 + Math.random()));
    return;
  }
  const {names, values} = answer;
  for (const [number, found] of Object.entries(values)) {
    const trial = trials.byNumber.get(Number(number));
    if (trial) trial.metrics = Object.fromEntries(names.map((name, i) => [name, found[i] === null ? null : Number(found[i])]));
  }
  table.show();
}

// From the pace of the latest trials.
function timeLeft(state, most) {
  const ended = trials.all.filter((trial) => trial.ended !== null).map((trial) => trial.ended).sort((a, b) => a - b);
  const rest = most === null ? 0 : most - ended.length;
  const latest = ended.slice(-50);
  // Its line stays while there may be something to say: what is below does not jump.
  left.hidden = most === null || !['RUNNING', 'PAUSED'].includes(state);
  left.textContent = '';
  if (state !== 'RUNNING' || rest <= 0 || latest.length < 3) return;
  const pace = (latest.at(-1) - latest[0]) / (latest.length - 1);
  left.textContent = `About ${period(pace * rest)} left, at the pace of the latest ${latest.length} trials.`;
}

const changes = (after) => getJson(`/api/studies/${study.id}/changes?after=${after}`);

// What is drawn before all is there costs time that what is still to come could have: not more often than this.
const PART_MS = 1200;
const note = document.getElementById('history-note');
const said = note.textContent;
let shown = false;
// Taken in, and not shown yet.
let fresh = trials.take(JSON.parse(box.dataset.newest));
if (fresh) table.show();
let drawnAt = performance.now();
const poll = repeat(async () => {
  let change;
  let next = changes(trials.revision);
  do {
    change = await next;
    // The manager finds the next part while this one is taken in.
    if (change.more) {
      next = changes(change.revision);
      next.catch(() => {});
    }
    trials.revision = change.revision;
    for (const columns of change.trials) fresh = trials.take(columns) || fresh;
    put(header, change.header);
    trials.loaded ||= !change.more;
    if (!shown && change.more && performance.now() > drawnAt + PART_MS) {
      // Of many the first are there to be seen while the others come.
      note.textContent = `${said} These are the first ${trials.all.length}; the others are being loaded.`;
      table.show();
      (await charts).draw();
      drawnAt = performance.now();
    }
  } while (change.more);
  note.textContent = said;
  timeLeft(change.state, change.max_trials);
  const {refresh} = await charts;
  if (fresh || !shown) {
    table.show();
    await refresh();
    // Not before: what failed of it is tried again the next time.
    shown = true;
    fresh = false;
  } else if (trials.all.some((trial) => trial.state === 'R')) {
    // What runs reports values without being another trial.
    table.show();
    await refresh();
  }
  box.dataset.ready = '1';
  return change.finished ? ENDED_MS : LIVE_MS;
}, LIVE_MS);
actions(`/api/studies/${study.id}`, poll);
