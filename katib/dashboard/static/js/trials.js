// The trials of a study in this page's memory: read from columns (katib/dashboard/columns.py), changed by further ones.
export const STATES = {P: 'Pending', R: 'Running', C: 'Completed', K: 'Killed', E: 'Error'};

export class Trials {
  constructor(axes) {
    this.axes = axes;
    this.byNumber = new Map();
    this.revision = 0;
    // Its number, as the manager says: who finished first of several with the same objective, which columns do not tell.
    this.bestNumber = null;
    // Names of parameters, the most important first; null while nobody has computed it.
    this.order = null;
    // Whether all that there were are here.
    this.loaded = false;
    this.cached = null;
  }

  // Whether anything is new.
  take(columns) {
    let number = 0;
    const before = [0, 0, 0];
    const times = (kind, i) => {
      const step = columns.t[kind][i];
      return step === null ? null : (before[kind] += step) / 10;
    };
    columns.n.forEach((step, i) => {
      number += step;
      const [reason, message] = columns.reasons[columns.r[i]];
      const old = this.byNumber.get(number);
      this.byNumber.set(number, {
        ...old,
        number,
        id: columns.id[i],
        state: columns.s[i],
        objective: columns.o[i] === null ? null : Number(columns.o[i]),
        attempt: columns.a[i],
        created: times(0, i),
        started: times(1, i),
        ended: times(2, i),
        reason,
        message,
        values: columns.p.map(({v, w}) => (v[i] === null ? null : w ? w[v[i]] : Number(v[i]))),
      });
    });
    if (columns.n.length) this.cached = null;
    return columns.n.length > 0;
  }

  // By number.
  get all() {
    this.cached ??= [...this.byNumber.values()].sort((a, b) => a.number - b.number);
    return this.cached;
  }

  get completed() {
    return this.all.filter((trial) => trial.state === 'C' && Number.isFinite(trial.objective));
  }

  // Or null, also while it has not been read yet.
  get best() {
    return this.byNumber.get(this.bestNumber) ?? null;
  }

  // Of more than `most` parameters those that matter most, else the first ones: each with its place.
  chosenAxes(most) {
    const axes = [...this.axes.entries()];
    if (axes.length > most && this.order) {
      const rank = new Map(this.order.map((name, i) => [name, i]));
      axes.sort(([i, a], [j, b]) => (rank.get(a.name) ?? Infinity) - (rank.get(b.name) ?? Infinity) || i - j);
    }
    return axes.slice(0, most).sort(([i], [j]) => i - j);
  }

  // What is said where a drawing has a part of the parameters.
  someAxes(most) {
    const {length} = this.axes;
    return length <= most ? '' : `${most} of ${length} parameters: ${this.order ? 'those that matter most' : 'the first ones, until it is known which matter most'}.`;
  }

  // Of the completed ones the latest, of which the best is one however early it came.
  latest(most) {
    const {completed, best} = this;
    const latest = completed.slice(-most);
    return best && completed.length > most && Number.isFinite(best.objective) && best.number < latest[0].number ? [best, ...latest.slice(1)] : latest;
  }
}

// What is said where a drawing has a part of them.
export const partly = (shown, all) => (shown < all ? `The best and the latest ${(shown - 1).toLocaleString('en')} of ${all.toLocaleString('en')} completed trials.` : '');
