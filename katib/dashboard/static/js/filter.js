// What somebody types above the table of trials: words, numbers of trials and comparisons, each of which a trial must meet.
import {number as shown} from './page.js';
import {STATES} from './trials.js';

const SIGN = /^\s*(<=|>=|!=|==|<|>|=)\s*/;
const NUMBERS = new Map([['inf', Infinity], ['+inf', Infinity], ['-inf', -Infinity], ['infinity', Infinity], ['+infinity', Infinity], ['-infinity', -Infinity], ['nan', NaN]]);
const SPELT = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

// `tests`, and in `trouble` what cannot be understood.
export function parse(text, columns) {
  const names = columns.flatMap((column) => [[column.label, column], [column.key, column]]).filter(([name]) => name)
    // Of two names the longer one is meant: `a<b` may be one too.
    .sort(([a], [b]) => b.length - a.length);
  const numbers = new Set();
  const tests = [];
  const trouble = [];
  let rest = text.trim();
  while (rest) {
    const [column, sign, after] = comparison(rest, names);
    const [word, quoted, left] = take(after ?? rest);
    if (column) {
      // Nothing behind the sign: it is still being typed.
      if (word || quoted) tests.push(compare(column, sign, word, trouble));
    } else if (/^\d+$/.test(word) && !quoted) numbers.add(Number(word));
    else if (word) {
      tests.push(like(word));
      const [, name] = /^([^<>=!]+)(?:[<>=]|!=)/.exec(word) ?? (/^(?:[<>=]|!=)/.test(left) ? [0, word] : []);
      if (name && !quoted) trouble.push(`nothing is called ${name}`);
    }
    rest = left;
  }
  if (numbers.size) tests.push((trial) => numbers.has(trial.number));
  return {tests, trouble};
}

function comparison(text, names) {
  const quote = /^"([^"]*)"/.exec(text);
  const same = (a, b) => a === b;
  const alike = (a, b) => a.toLowerCase() === b.toLowerCase();
  for (const equal of [same, alike]) {
    for (const [name, column] of names) {
      const length = quote && equal(quote[1], name) ? quote[0].length : equal(text.slice(0, name.length), name) ? name.length : 0;
      const sign = length && SIGN.exec(text.slice(length));
      if (sign) return [column, sign[1], text.slice(length + sign[0].length)];
    }
  }
  return [];
}

// A word, or several in quotation marks; whether it had any; and what follows.
function take(text) {
  const [all, double, single, bare] = /^(?:"([^"]*)"?|'([^']*)'?|(\S+))/.exec(text) ?? ['', undefined, undefined, ''];
  return [double ?? single ?? bare, bare === undefined, text.slice(all.length).trimStart()];
}

const numberOf = (word) => NUMBERS.get(word.toLowerCase()) ?? (SPELT.test(word) ? Number(word) : null);

function compare(column, sign, word, trouble) {
  const wanted = numberOf(word);
  const text = word.toLowerCase();
  if (column.right && wanted === null) {
    trouble.push(`${word} is no number, as ${column.label} is`);
    return () => false;
  }
  return (trial) => {
    const value = column.of(trial);
    if (value === null) return false;
    const number = typeof value === 'number' ? value : numberOf(value);
    const [a, b] = number !== null && wanted !== null ? [number, wanted] : [String(value).toLowerCase(), text];
    // What the table shows has fewer digits than there are.
    const equal = a === b || (Number.isNaN(a) && Number.isNaN(b)) || (typeof value === 'number' && shown(value) === word);
    switch (sign) {
      case '<': return a < b;
      case '>': return a > b;
      case '<=': return a < b || equal;
      case '>=': return a > b || equal;
      case '!=': return !equal;
      default: return equal;
    }
  };
}

function like(word) {
  const text = word.toLowerCase();
  const number = numberOf(word);
  return (trial) => trial.id.startsWith(text) || text.startsWith(trial.id) || STATES[trial.state].toLowerCase().includes(text)
    || trial.reason.toLowerCase().includes(text)
    || trial.values.some((value) => (typeof value === 'string' ? value.toLowerCase().includes(text) : value !== null && value === number));
}
