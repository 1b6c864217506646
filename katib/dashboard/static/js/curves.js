// Intermediate values of some trials: the best, the latest, those that run, those that were stopped early.
import {Chart, GRID, axis, colour, tip, tooltip} from './chart.js';
import {drawable, logBox} from './logarithm.js';
import {getJson, number} from './page.js';
import {valueAxis} from './scale.js';
import {trialLink} from './trial-table.js';

const MOST = 30;
const AWAY_MS = 5000;

export class Curves {
  constructor(study, trials, table) {
    this.study = study;
    this.trials = trials;
    this.table = table;
    this.metric = document.getElementById('curve-metric');
    this.choice = document.getElementById('curve-choice');
    this.note = document.getElementById('curves-note');
    this.about = this.note.textContent;
    this.got = new Map();
    this.wanted = [];
    this.asks = 0;
    this.ready = false;
    this.trouble = '';
    this.pointer = 0;
    this.chart = new Chart(document.querySelector('[data-chart="curves"]'), () => this.option(), {click: ({seriesName}) => {
      const trial = trials.byNumber.get(Number(seriesName));
      if (trial) location.href = trialLink(study.id, trial);
    }, ready: (made) => { made.getZr().on('mousemove', ({offsetY}) => { this.pointer = offsetY; }); }});
    this.logarithmic = logBox('curves', () => this.chart.refresh());
    for (const input of [this.metric, this.choice]) input.addEventListener('change', () => this.again());
    let typing = 0;
    table.listens = () => {
      if (this.choice.value !== 'table') return;
      clearTimeout(typing);
      typing = setTimeout(() => this.again(), 300);
    };
  }

  chosen() {
    const all = this.trials.all;
    const best = [...this.trials.completed].sort((a, b) => (this.study.up ? b.objective - a.objective : a.objective - b.objective));
    const running = all.filter((t) => t.state === 'R').slice(-MOST);
    const latest = all.filter((t) => t.state !== 'P').slice(-MOST);
    const pick = {
      best: best.slice(0, MOST),
      latest,
      table: this.table.listed,
      stopped: all.filter((t) => t.reason === 'EarlyStopped').slice(-MOST),
      mixed: [...running.slice(0, 10), ...best.slice(0, 10), ...all.filter((t) => t.reason === 'EarlyStopped').slice(-6), ...latest.slice(-10)],
    }[this.choice.value];
    return [...new Map(pick.map((t) => [t.number, t])).values()].slice(0, MOST);
  }

  // Beside the page's own looks, which nothing follows once a study has ended.
  again() {
    this.update().catch((error) => {
      this.trouble = error.message;
      this.chart.refresh();
      if (error.away) setTimeout(() => this.again(), AWAY_MS);
    });
  }

  async update() {
    if (!this.trials.loaded) return;
    if (!this.chart.seen) { this.chart.stale = true; this.later = true; return; }
    const mine = ++this.asks;
    const metric = this.metric.value;
    const chosen = this.chosen();
    // What has ended does not change.
    const key = (t) => `${metric} ${t.number} ${t.state} ${t.attempt}`;
    const asked = chosen.filter((t) => t.state === 'R' || !this.got.has(key(t)));
    if (asked.length) {
      const got = await getJson(`/api/studies/${this.study.id}/curves?metric=${encodeURIComponent(metric)}&ids=${asked.map((t) => t.id).join(',')}`);
      for (const curve of got) {
        const trial = this.trials.byNumber.get(curve.number);
        if (trial) this.got.set(key(trial), curve);
      }
    }
    if (mine !== this.asks) return;
    this.ready = true;
    this.wanted = chosen.map((t) => this.got.get(key(t))).filter(Boolean);
    this.chart.refresh();
  }

  option() {
    if (this.later) { this.later = false; this.again(); }
    if (!this.ready) return this.trouble ? `They could not be loaded: ${this.trouble}` : 'Loading…';
    const curves = this.wanted.filter((curve) => curve.points.length);
    const cut = curves.filter((curve) => curve.cut).length;
    const log = this.logarithmic();
    const below = log ? curves.flatMap(({points}) => points).filter(([, value]) => Number(value) <= 0).length : 0;
    this.note.textContent = [this.about, cut && `Of ${cut} with more than 10,000 values these and the latest are shown; what lies between is left out.`, below && `${below} values not above 0 are not shown.`].filter(Boolean).join(' ');
    if (!curves.length) return 'None of these trials has reported a value yet.';
    const {best} = this.trials;
    const shown = (point) => drawable(Number(point[1]), log);
    const series = curves.map((curve) => {
      const stopped = curve.reason === 'EarlyStopped';
      const of = curve.number === best?.number ? 'completed' : stopped ? 'killed' : curve.state === 'RUNNING' ? 'running' : 'muted';
      const data = curve.points.filter(shown);
      return {
        name: String(curve.number), type: 'line', showSymbol: data.length === 1, symbolSize: 5, data, z: of === 'completed' ? 5 : 2,
        triggerLineEvent: true, itemStyle: {color: colour(of)}, lineStyle: {color: colour(of), width: of === 'completed' ? 2.6 : 1.4, opacity: of === 'muted' ? .55 : .9},
        emphasis: {lineStyle: {width: 3}},
      };
    });
    const ends = curves.map((curve) => (curve.reason === 'EarlyStopped' ? curve.points.at(-1) : null)).filter((point) => point && shown(point));
    const values = series.flatMap(({data}) => data.map(([, value]) => Number(value)));
    if (log && !values.length) return `No value of ${this.metric.value} is above 0, where logarithms begin.`;
    return {
      label: `Values of ${this.metric.value} of ${curves.length} trials over their steps; ${ends.length} of them stopped early`,
      grid: GRID,
      // Of the lines at that step the one that is next to the pointer: lines without points would tell nothing by themselves.
      tooltip: {...tooltip((all) => {
        const [next] = all.filter(({seriesName}) => seriesName !== 'stopped').map(({seriesName, data}) => (
          {seriesName, data, off: Math.abs(this.chart.chart.convertToPixel({yAxisIndex: 0}, Number(data[1])) - this.pointer)})).sort((a, b) => a.off - b.off);
        return next ? tip(`Trial ${next.seriesName}`, [[`at ${next.data[0]}`, number(next.data[1])]]) : '';
      }), trigger: 'axis', axisPointer: {type: 'line', lineStyle: {color: colour('line')}}},
      xAxis: axis('Step', {splitLine: {show: false}, minInterval: 1}),
      yAxis: valueAxis(log, values),
      series: [...series, {
        name: 'stopped', type: 'scatter', data: ends, silent: true, z: 6, symbolSize: 9,
        symbol: 'path://M1 0 L5 4 L9 0 L10 1 L6 5 L10 9 L9 10 L5 6 L1 10 L0 9 L4 5 L0 1 Z', itemStyle: {color: colour('killed')},
      }],
    };
  }
}
