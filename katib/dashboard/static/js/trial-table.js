// The table of a study's trials: every parameter, sorted by any column, filtered by words and comparisons, a page at a time.
import {keep, shownBy} from './address.js';
import {parse} from './filter.js';
import {base, element, number, period} from './page.js';
import {unlessSelected} from './selection.js';
import {STATES} from './trials.js';

const ROWS = 25;
const NEWEST_FIRST = '-number';
const CLASSES = {P: 'pending', R: 'running', C: 'completed', K: 'killed', E: 'error'};

export class TrialTable {
  constructor(study, trials, epoch) {
    this.study = study;
    this.trials = trials;
    this.epoch = epoch;
    this.only = null;
    // What the table has on all its pages, in its order; `listens` is called when that may have changed.
    this.listed = [];
    this.listens = null;
    this.clear = document.getElementById('clear-choice');
    this.clear.addEventListener('click', () => { this.choose(null); this.cleared?.(); });
    this.table = document.getElementById('trial-table');
    this.nav = document.getElementById('trial-pages');
    this.filter = document.getElementById('trial-filter');
    this.state = document.getElementById('trial-state');
    this.columns = [
      {key: 'number', label: 'Trial', of: (t) => t.number, right: true},
      {key: 'state', label: 'State', of: (t) => STATES[t.state]},
      {key: 'objective', label: study.objective, of: (t) => t.objective, right: true},
      ...study.metrics.filter((name) => name !== study.objective).map((name) => (
        {key: `m:${name}`, label: name, of: (t) => t.metrics?.[name] ?? null, right: true})),
      ...trials.axes.map((axis, i) => ({key: `p:${axis.name}`, label: axis.name, of: (t) => t.values[i], right: !axis.words})),
      {key: 'took', label: 'Took', of: (t) => (t.started === null ? null : (t.ended ?? this.now()) - t.started), right: true},
      {key: 'reason', label: 'Reason', of: (t) => t.reason},
    ];
    const asked = shownBy(NEWEST_FIRST);
    this.page = asked.page;
    this.sort = this.columns.some((column) => column.key === asked.sort.key) ? asked.sort : {key: 'number', down: true};
    this.filter.value = asked.filter;
    this.state.value = asked.state;
    if (this.state.selectedIndex < 0) this.state.value = '';
    this.head();
    for (const input of [this.filter, this.state]) input.addEventListener('input', () => this.ask(0));
  }

  // What the reader asks for.
  ask(page) {
    this.page = page;
    this.draw();
    keep({filter: this.filter.value.trim(), state: this.state.value, sort: this.sort, page: this.page}, NEWEST_FIRST);
  }

  now() { return Date.now() / 1000 - this.epoch; }

  head() {
    const row = element('tr');
    for (const column of this.columns) {
      const button = element('button', {type: 'button', textContent: column.label});
      button.addEventListener('click', () => {
        this.sort = {key: column.key, down: this.sort.key === column.key ? !this.sort.down : Boolean(column.right)};
        this.ask(0);
      });
      row.append(element('th', {scope: 'col', className: column.right ? 'number' : ''}, button));
    }
    this.table.tHead.replaceChildren(row);
  }

  // Only these numbers; null for all.
  choose(numbers) {
    this.only = numbers;
    this.clear.hidden = !numbers;
    this.ask(0);
  }

  matching() {
    const {tests, trouble} = parse(this.filter.value, this.columns);
    this.trouble = trouble;
    const state = this.state.value;
    return this.trials.all.filter((trial) => (!this.only || this.only.has(trial.number)) && (!state || trial.state === state) && tests.every((test) => test(trial)));
  }

  // What has changed by itself.
  show() { unlessSelected(this.table.tBodies[0], () => this.draw()); }

  draw() {
    const found = this.matching();
    const column = this.columns.find((c) => c.key === this.sort.key);
    const sign = this.sort.down ? -1 : 1;
    // What has no value stands last, whichever way round.
    const none = (value) => value === null || value === '' || Number.isNaN(value);
    found.sort((a, b) => {
      const [x, y] = [column.of(a), column.of(b)];
      if (none(x) || none(y)) return none(x) - none(y) || b.number - a.number;
      return (x < y ? -sign : x > y ? sign : 0) || b.number - a.number;
    });
    this.listed = found;
    const pages = Math.max(Math.ceil(found.length / ROWS), 1);
    const page = Math.min(this.page, pages - 1);
    // The page that is asked for may be on its way.
    if (this.trials.loaded) this.page = page;
    const shown = found.slice(page * ROWS, (page + 1) * ROWS);
    [...this.table.tHead.rows[0].cells].forEach((cell, i) => {
      cell.setAttribute('aria-sort', this.columns[i] === column ? (this.sort.down ? 'descending' : 'ascending') : 'none');
    });
    const best = this.trials.loaded ? this.trials.best?.number : null;
    this.rows(shown.map((trial) => this.row(trial, trial.number === best)));
    this.pages(found.length, page, pages, shown.length);
    this.listens?.();
  }

  // A row that says the same as before stays the one it was, with the pointer, the focus or a tooltip on it.
  rows(fresh) {
    const body = this.table.tBodies[0];
    const focused = document.activeElement?.closest?.('#trial-table tbody a')?.textContent;
    const before = new Map([...body.rows].map((row) => [row.cells[0].textContent, row]));
    const wanted = fresh.map((row) => {
      const old = before.get(row.cells[0].textContent);
      return old?.isEqualNode(row) ? old : row;
    });
    const staying = new Set(wanted);
    for (const row of before.values()) if (!staying.has(row)) row.remove();
    wanted.forEach((row, i) => { if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] ?? null); });
    if (focused && document.activeElement === document.body) [...body.querySelectorAll('a')].find((a) => a.textContent === focused)?.focus();
  }

  row(trial, best) {
    const row = element('tr');
    for (const column of this.columns) {
      const value = column.of(trial);
      if (column.key === 'number') {
        row.append(element('th', {scope: 'row', className: 'number'},
          best ? element('span', {className: 'star', role: 'img', 'aria-label': 'The best', title: 'The best', textContent: '★'}) : '',
          element('a', {href: trialLink(this.study.id, trial), textContent: trial.number})));
      } else if (column.key === 'state') {
        row.append(element('td', {}, element('span', {className: `state ${CLASSES[trial.state]}`, textContent: value})));
      } else if (column.key === 'reason') {
        row.append(element('td', {className: 'long', title: trial.message, textContent: value || '–'}));
      } else {
        const text = column.key === 'took' ? (value === null ? '–' : period(value))
          : typeof value === 'number' || value === null ? number(value) : value;
        row.append(element('td', {className: column.right ? 'number' : '', textContent: text}));
      }
    }
    return row;
  }

  pages(total, page, pages, shown) {
    const first = page * ROWS;
    const parts = [element('span', {className: 'num', role: 'status',
      textContent: (total ? `${first + 1}–${first + shown} of ${total}` : this.trials.all.length ? ['No trial is like that', ...this.trouble].join('; ') : 'No trials yet')
        + (this.trials.loaded ? '' : '; others are being loaded')})];
    const move = (text, step) => {
      const button = element('button', {type: 'button', textContent: text, id: `trials-${text.toLowerCase()}`});
      button.addEventListener('click', () => { this.ask(page + step); document.getElementById(button.id)?.focus(); });
      return button;
    };
    if (page > 0) parts.push(move('Previous', -1));
    if (page < pages - 1) parts.push(move('Next', 1));
    const fresh = this.nav.cloneNode();
    fresh.append(...parts);
    // The page that these buttons go to is the same too.
    if (this.nav.isEqualNode(fresh)) return;
    const focused = this.nav.contains(document.activeElement) && document.activeElement.id;
    this.nav.replaceChildren(...fresh.childNodes);
    if (focused) document.getElementById(focused)?.focus();
  }
}

export const trialLink = (study, trial) => `${base}/studies/${study}/trials/${trial.number}?id=${trial.id}`;
