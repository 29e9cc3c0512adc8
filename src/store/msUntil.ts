/** Milliseconds from now to an instant, which may be an infinite one (that no timestamp can be taken from). */
export const msUntil = (instant: string) =>
  `(date_part('epoch', ${instant}) - date_part('epoch', clock_timestamp())) * 1000`;
