// The trials of a study in this page's memory: read from columns (katib/dashboard/columns.py), changed by further ones.
export const STATES = {P: 'Pending', R: 'Running', C: 'Completed', K: 'Killed', E: 'Error'};

export class Trials {
  constructor(axes) {
    this.axes = axes;
    this.byNumber = new Map();
    this.revision = 0;
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

  // Of the completed ones, or null.
  best(up) {
    return this.completed.reduce((a, b) => (a === null || (up ? b.objective > a.objective : b.objective < a.objective) ? b : a), null);
  }
}
