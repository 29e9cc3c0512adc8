/** What an attempt of Belfry carries: the floor sends the same request, of the same size. */
export const attemptHeaders = {
  'webhook-id': '0123456789ab_1234567',
  'webhook-timestamp': '1790000000',
  'belfry-attempt': '1',
  'user-agent': 'Belfry/0.1.0',
};
