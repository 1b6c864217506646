// How much each parameter matters: asked for when it comes into view or others need it, and again when a tenth more trials have completed.
import {element, getJson} from './page.js';

const AWAY_MS = 5000;
// More parameters than that are not all drawn everywhere.
const MANY = 12;
// Of what the forest explains, from 0 to 1.
const LITTLE = .2;

export class Importance {
  // `ordered` is called when it is known which parameters matter most.
  constructor(study, trials, ordered) {
    this.study = study;
    this.ordered = ordered;
    // Drawings that cannot have all parameters choose by it.
    this.chooses = trials.axes.length > MANY;
    this.trials = trials;
    this.from = 0;
    this.note = document.getElementById('importance-note');
    this.least = Number(this.note.dataset.least);
    this.table = document.getElementById('shares');
    new IntersectionObserver((entries) => { this.seen = entries.at(-1).isIntersecting; if (this.seen) this.update(); }).observe(document.getElementById('importance'));
  }

  async update() {
    const count = this.trials.completed.length;
    if (!(this.seen || this.chooses) || this.asking || !this.trials.loaded) return;
    if (count < this.least) {
      this.note.textContent = `This needs ${this.least} completed trials with a finite objective; ${count ? `there ${count === 1 ? 'is' : 'are'} ${count}` : 'there are none yet'}.`;
      return;
    }
    if (count === this.from || count < this.from * 1.1) return;
    this.asking = true;
    if (!this.from) this.note.textContent = 'Computing…';
    try {
      const {method, trials, quality, shares} = await getJson(`/api/studies/${this.study.id}/importance`);
      this.from = count;
      if (!shares.length) {
        this.note.textContent = trials < this.least ? `This needs ${this.least} completed trials with parameters of the search space; there are ${trials}.`
          : `All ${trials} completed trials have the same objective: nothing is to be explained.`;
        return;
      }
      this.trials.order = shares.map(({name}) => name);
      this.ordered();
      this.note.textContent = `${method}, from ${trials} completed trials${quality === null ? '' : `; it explains ${Math.max(Math.round(quality * 100), 0)} % of what it has not seen${quality < LITTLE ? ', so the shares mean little' : ''}`}.`;
      this.table.tBodies[0].replaceChildren(...shares.map(({name, share}) => {
        const bar = element('span', {className: 'share', 'aria-hidden': 'true'});
        bar.style.width = `${share * 100}%`;
        return element('tr', {}, element('th', {scope: 'row', textContent: name}), element('td', {}, bar), element('td', {textContent: `${(share * 100).toFixed(share < .1 ? 1 : 0)} %`}));
      }));
      this.table.hidden = false;
    } catch (error) {
      if (error.retryAfter || error.away) setTimeout(() => this.update(), (error.retryAfter || AWAY_MS) * (1 + Math.random()));
      if (error.retryAfter) return;
      this.note.textContent = `It could not be computed: ${error.message}`;
    } finally {
      this.asking = false;
    }
  }
}
