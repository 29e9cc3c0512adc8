import fc from 'fast-check';

// Junk, and what is nearly right: that is where parsers go wrong.
export const nearlyNumbers = fc.stringMatching(/^\s?[+-]?[0-9]{0,4}\.?[0-9]{0,3}[eE]?[0-9]?\s?$/);
export const nearlyDurations = fc.stringMatching(
  /^[Pp]?([0-9.,]{1,4}[WDYMwd])?([0-9]{1,3}D)?[Tt]?([0-9.]{1,4}H)?([0-9]{1,2}M)?([0-9.,]{1,5}S)?$/,
);
export const nearlyInstants = fc.stringMatching(
  /^[0-9]{4}-[0-3][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,5})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?$/,
);
export const nearlyUrls = fc
  .tuple(
    fc.constantFrom('http', 'https', 'HTTP', 'ftp', ''),
    fc.constantFrom('://', ':/', ':', '//', ':///', ':\\\\'),
    fc.oneof(fc.domain(), fc.ipV4(), fc.ipV4Extended(), fc.ipV6(), fc.string({ maxLength: 8 })),
    fc.constantFrom('', ':80', ':0', ':99999', ':x'),
    fc.oneof(fc.webPath(), fc.string({ maxLength: 12 })),
    fc.constantFrom('', '?q=1', '#f', '?q#f'),
  )
  .map((parts) => parts.join(''));
