// Parallel coordinates: a line for each trial over its parameters and its objective; dragging along an axis chooses.
import {Chart, colour} from './chart.js';
import {cut, marks, ranker, shade, unit} from './scale.js';
import {number} from './page.js';
import {partly} from './trials.js';

const MOST = 1500;
const AXES = 12;
// As many have room for their names on a narrow screen.
const NARROW = 5;

export function parallelChart(study, trials, table) {
  const note = document.getElementById('parallel-note');
  const about = note.textContent;
  let said = about;
  let chosenOf = [];
  let lines = [];
  const draw = () => {
    lines = trials.latest(MOST);
    const wide = chart.box.clientWidth > 700;
    const most = wide ? AXES : NARROW;
    chosenOf = trials.chosenAxes(most);
    said = [about, trials.someAxes(most), partly(lines.length, trials.completed.length)].filter(Boolean).join(' ');
    note.textContent = said;
    if (lines.length < 2) return 'This needs two completed trials with a finite objective.';
    const rank = ranker(lines.map((t) => t.objective), study.up);
    lines.sort((a, b) => rank(a.objective) - rank(b.objective));
    const low = lines.reduce((m, t) => Math.min(m, t.objective), Infinity);
    const high = lines.reduce((m, t) => Math.max(m, t.objective), -Infinity);
    const axes = [...chosenOf.map(([, a]) => a), {name: study.objective, min: low, max: high > low ? high : low + 1}];
    // Letters of seven pixels, between one axis and the next, and beside the first and the last.
    const room = Math.min(Math.max(Math.floor(chart.box.clientWidth / axes.length / 7), 4), wide ? 16 : 10);
    return {
      parallel: {left: wide ? 60 : 40, right: wide ? 90 : 44, top: 40, bottom: 24, parallelAxisDefault: {
        nameLocation: 'end', nameGap: 14, nameTextStyle: {color: colour('text'), fontWeight: 600}, min: 0, max: 1,
        axisLine: {lineStyle: {color: colour('muted')}}, areaSelectStyle: {width: 18, borderWidth: 1, borderColor: colour('accent'), color: colour('accent'), opacity: .25},
      }},
      parallelAxis: axes.map((a, dim) => {
        const at = new Map(marks(a).map(([place, text]) => [place.toFixed(6), text]));
        const places = marks(a).map(([place]) => place);
        return {dim, name: cut(a.name, room), type: 'value', min: 0, max: 1,
          axisTick: {customValues: places, lineStyle: {color: colour('muted')}},
          axisLabel: {color: colour('muted'), backgroundColor: colour('surface'), padding: [0, 2], hideOverlap: true, customValues: places, formatter: (place) => at.get(place.toFixed(6)) ?? ''}};
      }),
      series: [{
        type: 'parallel', smooth: .15, inactiveOpacity: .04, activeOpacity: .9, progressive: 500,
        lineStyle: {width: lines.length > 400 ? 1 : 1.4, opacity: lines.length > 400 ? .45 : .75},
        data: lines.map((t) => ({value: axes.map((a, i) => unit(a, i < chosenOf.length ? t.values[chosenOf[i][0]] : t.objective)), lineStyle: {color: shade(rank(t.objective))}})),
      }],
    };
  };
  const chart = new Chart(document.querySelector('[data-chart="parallel"]'), draw, {ready: (made) => {
    made.on('axisareaselected', () => {
      const chosen = made.getModel().getSeriesByIndex(0).getRawIndicesByActiveState('active').map((i) => lines[i]);
      const any = made.getModel().getSeriesByIndex(0).getRawIndicesByActiveState('inactive').length > 0;
      chart.held = any;
      table.choose(any ? new Set(chosen.map((t) => t.number)) : null);
      const best = chosen.reduce((a, b) => (a === null || (study.up ? b.objective > a.objective : b.objective < a.objective) ? b : a), null);
      note.textContent = any ? `${chosen.length} of ${lines.length} trials chosen${best ? `; the best of them is trial ${best.number} with ${number(best.objective)}` : ''}.` : said;
    });
  }});
  table.cleared = () => { chart.held = false; note.textContent = said; chart.refresh(); };
  // What somebody has chosen stays until it is cleared.
  return {refresh: () => { if (!chart.held) chart.refresh(); }};
}
