/**
 * The rows of an answer, which has none any more. Queries are kept hold of by the ones before them (in pg 8, by
 * its promises and by its read timeout): what has outlived one young collection keeps alive what came
 * after it, answers as well, until a full one. So what is large is taken out of what stays behind. Answers
 * of 500 rows, one after the other: collections of 0.5 ms that keep 50 KB, in place of 5 to 15 ms and 6 MB.
 */
export function takeRows<Row>(result: { rows: Row[] }): Row[] {
  const { rows } = result;
  result.rows = [];
  return rows;
}
