// How much each parameter matters: asked for when it comes into view, and again when a tenth more trials have completed.
import {element, getJson} from './page.js';

export class Importance {
  constructor(study, trials) {
    this.study = study;
    this.trials = trials;
    this.from = 0;
    this.note = document.getElementById('importance-note');
    this.table = document.getElementById('shares');
    new IntersectionObserver((entries) => { this.seen = entries.at(-1).isIntersecting; if (this.seen) this.update(); }).observe(document.getElementById('importance'));
  }

  async update() {
    const count = this.trials.completed.length;
    if (!this.seen || this.asking || count === this.from || count < this.from * 1.1) return;
    this.asking = true;
    if (!this.from) this.note.textContent = 'Computing…';
    try {
      const {method, trials, least, quality, shares} = await getJson(`/api/studies/${this.study.id}/importance`);
      this.from = count;
      if (!shares.length) {
        this.note.textContent = `This needs ${least} completed trials with different values of the objective; there are ${trials}.`;
        return;
      }
      this.note.textContent = `${method}, from ${trials} completed trials${quality === null ? '' : `; it explains ${Math.max(Math.round(quality * 100), 0)} % of what it has not seen`}.`;
      this.table.tBodies[0].replaceChildren(...shares.map(({name, share}) => {
        const bar = element('span', {className: 'share', 'aria-hidden': 'true'});
        bar.style.width = `${share * 100}%`;
        return element('tr', {}, element('th', {scope: 'row', textContent: name}), element('td', {}, bar), element('td', {textContent: `${(share * 100).toFixed(share < .1 ? 1 : 0)} %`}));
      }));
      this.table.hidden = false;
    } catch (error) {
      if (error.retryAfter) {
        setTimeout(() => this.update(), error.retryAfter * (1 + Math.random()));
        return;
      }
      this.note.textContent = `It could not be computed: ${error.message}`;
    } finally {
      this.asking = false;
    }
  }
}
