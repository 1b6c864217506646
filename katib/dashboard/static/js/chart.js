// One chart: made when it comes into view and there is something to draw, drawn again when its data, its size or the colours change.
import {init} from '../vendor/echarts.js';
import {element, number, short} from './page.js';

const style = () => getComputedStyle(document.documentElement);
export const colour = (name) => style().getPropertyValue(`--${name}`).trim();

// As long a tooltip that somebody reads is left alone.
const READ_MS = 5000;

export class Chart {
  // `draw()` gives ECharts' option, with what there is to see in `label`, or a sentence where there is nothing to draw. Before the
  // first `refresh` it is not asked: nobody knows yet what there is.
  constructor(box, draw, {click, ready} = {}) {
    this.box = box;
    this.draw = draw;
    this.click = click;
    this.ready = ready;
    this.stale = false;
    this.seen = false;
    this.drawn = '';
    // Since when a tooltip is there, by what the pointer rests on; 0 for none.
    this.readSince = 0;
    this.later = 0;
    box.replaceChildren(element('p', {className: 'muted', textContent: 'Loading…'}));
    this.closed = new AbortController();
    const {signal} = this.closed;
    const near = new IntersectionObserver((entries) => {
      this.seen = entries.at(-1).isIntersecting;
      if (this.seen && this.stale) this.refresh();
    }, {rootMargin: '200px'});
    const sized = new ResizeObserver(() => this.chart?.resize());
    for (const observer of [near, sized]) {
      observer.observe(box);
      signal.addEventListener('abort', () => observer.disconnect());
    }
    document.documentElement.addEventListener('themechange', () => { this.drawn = ''; if (this.chart) this.refresh(); }, {signal});
    box.addEventListener('pointerleave', () => this.leave(), {signal});
  }

  // For good: nothing on the page, nor a timer, holds it any more.
  close() {
    this.closed.abort();
    this.chart?.dispose();
    this.chart = null;
    clearTimeout(this.later);
    this.seen = false;
  }

  refresh() {
    this.stale = true;
    if (!this.seen) return;
    clearTimeout(this.later);
    const wait = this.readSince && this.drawn ? this.readSince + READ_MS - performance.now() : 0;
    if (wait > 0) { this.later = setTimeout(() => this.refresh(), wait); return; }
    this.stale = false;
    const option = this.draw();
    if (typeof option === 'string') {
      this.chart?.dispose();
      this.chart = null;
      this.drawn = '';
      this.readSince = 0;
      this.box.replaceChildren(element('p', {className: 'muted', textContent: option}));
      return;
    }
    if (!this.chart) {
      this.box.replaceChildren();
      this.chart = init(this.box, null, {renderer: 'canvas'});
      if (this.click) this.chart.on('click', this.click);
      this.chart.on('finished', () => { this.box.dataset.drawn = '1'; });
      this.chart.on('showTip', () => { this.readSince ||= performance.now(); });
      this.chart.on('hideTip', () => this.leave());
      this.ready?.(this.chart);
    }
    const {label, ...given} = option;
    if (label) this.box.setAttribute('aria-label', label);
    // Colours are in it, and what functions take from outside changes with the data. What is the same stays, with its tooltip;
    // but parallel axes, where drawing takes away what was chosen on them.
    const drawn = JSON.stringify(given);
    if (drawn === this.drawn && !given.parallel) return;
    this.drawn = drawn;
    this.readSince = 0;
    delete this.box.dataset.drawn;
    this.chart.setOption({
      animation: false,
      textStyle: {fontFamily: getComputedStyle(document.body).fontFamily, color: colour('text')},
      ...given,
    }, {notMerge: true});
  }

  // The tooltip is gone: what has been put off is drawn.
  leave() {
    this.readSince = 0;
    if (!this.stale) return;
    clearTimeout(this.later);
    this.later = setTimeout(() => { if (!this.readSince) this.refresh(); }, 50);
  }
}

// Ticks a millionth apart need all their digits, and those of a billion have no room for them.
const tick = (value) => (Math.abs(value) < 1e7 ? number : short)(Number(value.toPrecision(10)));

// A tooltip made of nodes: names and messages are text, never markup.
export function tip(title, pairs) {
  const box = element('div', {className: 'tip'}, element('b', {textContent: title}));
  for (const [name, value] of pairs) box.append(element('div', {}, element('span', {textContent: name}), element('span', {textContent: value})));
  return box;
}

export const tooltip = (formatter) => ({
  trigger: 'item',
  confine: true,
  backgroundColor: colour('surface'),
  borderColor: colour('line'),
  textStyle: {color: colour('text'), fontSize: 13},
  transitionDuration: 0,
  formatter,
});

export const axis = (name, extra = {}) => ({
  type: 'value',
  scale: true,
  name,
  nameLocation: 'middle',
  nameGap: 30,
  nameTextStyle: {color: colour('muted')},
  axisLine: {show: false},
  axisTick: {show: false},
  axisLabel: {color: colour('muted'), hideOverlap: true, formatter: extra.type === 'category' ? undefined : (value) => tick(value)},
  splitLine: {lineStyle: {color: colour('line')}},
  ...extra,
});

export const GRID = {left: 64, right: 20, top: 16, bottom: 44};

const TOLD = 12;

export function tipOf(trial, study, trials) {
  return tip(`Trial ${trial.number}`, [
    [study.objective, number(trial.objective)],
    ...trials.chosenAxes(TOLD).map(([i, a]) => [a.name, typeof trial.values[i] === 'number' || trial.values[i] === null ? number(trial.values[i]) : trial.values[i]]),
    ...(trial.reason ? [['', trial.reason]] : []),
  ]);
}
