// Axes of the search space and colours of the objective, the same in every chart that has either.
import {axis, colour} from './chart.js';
import {number, short} from './page.js';

// Where a value lies on its axis, from 0 to 1; NaN where it lies nowhere.
export function unit(axis, value) {
  if (value === null) return NaN;
  if (axis.words) { const i = axis.list.indexOf(value); return i < 0 ? NaN : (i + 0.5) / axis.list.length; }
  const f = axis.log ? Math.log : (x) => x;
  const [low, high] = [f(axis.min), f(axis.max)];
  return high > low ? (f(value) - low) / (high - low) : 0.5;
}

// The words, or a handful of round numbers, with their places.
export function marks(axis) {
  if (axis.words) return axis.list.map((word, i) => [(i + 0.5) / axis.list.length, cut(String(word), 18)]);
  // A list of numbers shows these.
  if (axis.values) return axis.values.map((value) => [unit(axis, value), number(value)]);
  return rounds(axis).map((value) => [unit(axis, value), short(value)]);
}

function rounds({log, int, min, max}) {
  if (log && max / min >= 10) return powers(min, max);
  const rough = (max - min) / 4 || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((n) => n * size).find((n) => n >= rough) ?? rough;
  if (int) step = Math.max(Math.round(step), 1);
  const found = [];
  for (let value = Math.ceil(min / step) * step; value <= max + step * 1e-9; value += step) found.push(Number(value.toPrecision(10)));
  return found;
}

// Powers of ten from `min` to `max`, and where these are few what lies between them.
function powers(min, max) {
  const between = (factors) => {
    const found = [];
    for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max) + 1e-9; power += 1) {
      for (const factor of factors) {
        const value = Number((factor * 10 ** power).toPrecision(1));
        if (value >= min * (1 - 1e-9) && value <= max * (1 + 1e-9)) found.push(value);
      }
    }
    return found;
  };
  const tens = between([1]);
  return tens.length > 2 ? tens : between([1, 2, 5]);
}

// A name along an axis, so short that it does not run into what is beside it.
export function cut(name, most = 34) {
  const letters = [...name];
  return letters.length > most ? `${letters.slice(0, most - 1).join('')}…` : name;
}

export function unitAxis(axis, gap = 30) {
  const at = new Map(marks(axis).map(([place, text]) => [place.toFixed(6), text]));
  const places = marks(axis).map(([place]) => place);
  return {
    type: 'value', min: 0, max: 1, name: cut(axis.name), nameLocation: 'middle', nameGap: gap, nameTextStyle: {color: colour('muted')},
    axisLine: {show: false}, axisTick: {show: false, customValues: places},
    axisLabel: {color: colour('muted'), customValues: places, hideOverlap: true, formatter: (place) => at.get(place.toFixed(6)) ?? ''},
    splitLine: {show: false},
  };
}

// Of what a trial is worth: linear within `bounds`, or logarithmic from the least of these values to the greatest.
export function valueAxis(log, values, bounds = {}) {
  if (!log) return axis('', bounds);
  let [min, max] = [Infinity, 0];
  for (const value of values) { if (value < min) min = value; if (value > max) max = value; }
  // By exponents, which are never too large; a single value has room on both of its sides.
  const [low, high] = [Math.log10(min), Math.log10(max)];
  const room = high > low ? (high - low) * .04 : .3;
  const ends = [Math.max(10 ** (low - room), 1e-307), Math.min(10 ** (high + room), 1e308)];
  const customValues = rounds({log, min: Math.max(min, ends[0]), max: Math.max(max, ends[0] * 2)});
  const all = axis('', {type: 'log', min: ends[0], max: ends[1]});
  return {...all, axisLabel: {...all.axisLabel, customValues}, axisTick: {show: false, customValues}};
}

// By rank, so that a few far values do not take all the colours: 0 the worst, 1 the best.
export function ranker(values, up) {
  const sorted = Float64Array.from(values).sort();
  return (value) => {
    let [low, high] = [0, sorted.length];
    while (low < high) { const middle = (low + high) >> 1; if (sorted[middle] < value) low = middle + 1; else high = middle; }
    const rank = sorted.length > 1 ? Math.min(low / (sorted.length - 1), 1) : 1;
    return up ? rank : 1 - rank;
  };
}

// Three colours from the style sheet, from the worst to the best, for each of the themes.
const stops = new Map();

export function shade(rank) {
  const {theme} = document.documentElement.dataset;
  if (!stops.has(theme)) stops.set(theme, ['worst', 'middling', 'better'].map((name) => colour(name).match(/\d+/g).map(Number)));
  const [place, three] = [Math.min(Math.max(rank, 0), 1) * 2, stops.get(theme)];
  const i = Math.min(Math.floor(place), 1);
  const mixed = three[i].map((c, k) => Math.round(c + (three[i + 1][k] - c) * (place - i)));
  return `rgb(${mixed.join(',')})`;
}
