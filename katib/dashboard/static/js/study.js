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
    const draw = () => drawn.forEach((chart) => chart.refresh());
    const asked = [new curves.Curves(study, trials, table), new importance.Importance(study, trials, draw)];
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
    return {draw, refresh, history: drawn[0]};
  });

// The metrics beside the objective, for the table: again when trials have finished, and not more often than every ten seconds.
const METRICS_MS = 10000;
// Some are never stored, as those of models that were deleted.
const METRICS_TRIES = 6;
let metricsAt = 0;
let metricsOf = -1;
let metricsLater = 0;
let metricsMissed = 0;
function takeMetricsIn(ms) {
  clearTimeout(metricsLater);
  metricsLater = setTimeout(() => takeMetrics().catch(() => { metricsOf = -1; }), ms);
}
async function takeMetrics() {
  const finished = trials.all.filter((trial) => trial.ended !== null).length;
  if (study.metrics.every((name) => name === study.objective) || !finished || finished === metricsOf) return;
  clearTimeout(metricsLater);
  const early = metricsAt + METRICS_MS - Date.now();
  if (early > 0) {
    // By itself: at the end of a study nothing else would come.
    takeMetricsIn(early);
    return;
  }
  metricsAt = Date.now();
  metricsOf = finished;
  let answer;
  try {
    answer = await getJson(`/api/studies/${study.id}/metrics`);
  } catch (error) {
    if (!error.retryAfter) {
      metricsOf = -1;
      throw error;
    }
    // It is being read for others. Nor does a refresh ask before.
    const wait = error.retryAfter * (1 + Math.random());
    [metricsAt, metricsOf] = [Date.now() + wait - METRICS_MS, -1];
    takeMetricsIn(wait);
    return;
  }
  const {names, values} = answer;
  for (const [number, found] of Object.entries(values)) {
    const trial = trials.byNumber.get(Number(number));
    if (trial) trial.metrics = Object.fromEntries(names.map((name, i) => [name, found[i] === null ? null : Number(found[i])]));
  }
  table.show();
  (await charts).history.refresh();
  // They are stored a little after their trial has ended.
  const missing = trials.all.some((trial) => trial.state === 'C' && !trial.metrics);
  metricsMissed = missing ? metricsMissed + 1 : 0;
  if (missing && metricsMissed < METRICS_TRIES) {
    metricsOf = -1;
    takeMetricsIn(METRICS_MS);
  }
}

// Where nobody is changing them.
function putLimits(limits) {
  const dialog = document.getElementById('limits-dialog');
  if (dialog.open) return;
  for (const input of dialog.querySelectorAll('input[name]')) input.value = input.defaultValue = limits[input.name];
}

// The later of two ends: that of the trials' times over as many places as are taken, and that of the pace at which trials have ended,
// which has what lies between trials in it.
function timeLeft(state, most, places) {
  const ended = trials.all.filter((trial) => trial.ended !== null).sort((a, b) => a.ended - b.ended);
  const rest = most === null ? 0 : most - ended.length;
  const latest = ended.slice(-50);
  // Its line stays while there may be something to say: what is below does not jump.
  left.hidden = most === null || !['RUNNING', 'PAUSED'].includes(state);
  left.textContent = '';
  if (state !== 'RUNNING' || rest <= 0 || latest.length < 3) return;
  const now = table.now();
  const took = latest.filter((trial) => trial.started !== null).map((trial) => trial.ended - trial.started);
  const mean = took.length ? took.reduce((a, b) => a + b, 0) / took.length : 0;
  const running = trials.all.filter((trial) => trial.state === 'R').map((trial) => Math.max(mean - (now - (trial.started ?? now)), 0));
  const work = running.reduce((a, b) => a + b, 0) + Math.max(rest - running.length, 0) * mean;
  const byWork = Math.max(work / Math.max(running.length, places ?? 1, 1), ...running);
  const pace = (latest.at(-1).ended - latest[0].ended) / (latest.length - 1);
  const byPace = pace * rest - Math.max(now - latest.at(-1).ended, 0);
  left.textContent = `About ${period(Math.max(byWork, byPace, 1))} left, as the latest ${latest.length} trials went.`;
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
    if (change.revision < trials.revision) {
      // A copy of the database was put back: what is here need not be so any more.
      location.reload();
      return LIVE_MS;
    }
    // The manager finds the next part while this one is taken in.
    if (change.more) {
      next = changes(change.revision);
      next.catch(() => {});
    }
    trials.revision = change.revision;
    for (const columns of change.trials) fresh = trials.take(columns) || fresh;
    trials.bestNumber = change.best;
    put(header, change.header);
    putLimits(change.limits);
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
  timeLeft(change.state, change.max_trials, change.max_parallel);
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
