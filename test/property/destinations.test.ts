import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createDestinations } from '../../src/delivery/destinations.ts';

const origins = ['http://a', 'http://b', 'http://c', 'http://d', 'http://e'];

test('bounds are never exceeded, no slot is idle while work waits, and each destination keeps order', () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ acquire: fc.constantFrom(...origins), releasesAtOnce: fc.boolean() }),
      fc.record({ release: fc.nat({ max: 1_000 }) }),
    ),
    { size: 'max', maxLength: 120 },
  );
  const bounds = fc.integer({ min: 1, max: 6 });
  fc.assert(
    fc.property(steps, bounds, bounds, (operations, perDestination, total) => {
      const destinations = createDestinations({ perDestination, total });
      const running: string[] = [];
      const waiting = new Map<string, number[]>(origins.map((origin) => [origin, []]));
      let asked = 0;
      const count = (origin: string) => running.filter((other) => other === origin).length;

      for (const operation of operations) {
        if ('acquire' in operation) {
          const { acquire: origin, releasesAtOnce } = operation;
          const number = asked++;
          waiting.get(origin)?.push(number);
          destinations.acquire(origin, () => {
            assert.equal(waiting.get(origin)?.shift(), number, 'first in, first out');
            running.push(origin);
            assert.ok(running.length <= total && count(origin) <= perDestination);
            if (!releasesAtOnce) return;
            running.splice(running.lastIndexOf(origin), 1);
            destinations.release(origin);
          });
        } else {
          const origin = running[operation.release % running.length];
          if (origin === undefined) continue;
          running.splice(running.indexOf(origin), 1);
          destinations.release(origin);
        }
        assert.equal(destinations.active(), running.length);
        if (running.length === total) continue;
        for (const [origin, queue] of waiting) {
          assert.ok(queue.length === 0 || count(origin) === perDestination, `${origin} waits`);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('a crowd at some destinations does not keep another one waiting longer than one turn each', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      (perDestination, crowded) => {
        // Every slot is taken by crowds that have more waiting than they can ever get.
        const total = perDestination * crowded;
        const destinations = createDestinations({ perDestination, total });
        const running: string[] = [];
        for (let index = 0; index < crowded; index++) {
          const origin = `http://crowd-${index}`;
          for (let job = 0; job < 1_000; job++) {
            destinations.acquire(origin, () => running.push(origin));
          }
        }
        assert.equal(running.length, total);
        let started = false;
        destinations.acquire('http://lone', () => (started = true));
        let releases = 0;
        while (!started) {
          const origin = running.shift();
          assert.ok(
            origin !== undefined && releases <= crowded,
            `${releases} slots went elsewhere`,
          );
          releases += 1;
          destinations.release(origin);
        }
      },
    ),
  );
});

test('tens of thousands that are given back as soon as they start do not overflow the stack', () => {
  const destinations = createDestinations({ perDestination: 1, total: 1 });
  destinations.acquire('http://a', () => undefined);
  let started = 0;
  for (let job = 0; job < 50_000; job++) {
    destinations.acquire('http://a', () => {
      started += 1;
      destinations.release('http://a');
    });
  }
  destinations.release('http://a');
  assert.equal(started, 50_000);
  assert.equal(destinations.active(), 0);
});

test('a start that throws does not block those behind it', () => {
  const destinations = createDestinations({ perDestination: 1, total: 1 });
  assert.throws(() =>
    destinations.acquire('http://a', () => {
      throw new Error('a defect');
    }),
  );
  let started = false;
  destinations.acquire('http://b', () => (started = true));
  destinations.release('http://a');
  assert.equal(started, true);
});

test('a destination is slow when its crowd would wait for over three seconds, twice in a row', () => {
  const destinations = createDestinations({ perDestination: 2, total: 10 });
  const release = (origin: string, count: number) => {
    for (let index = 0; index < count; index++) destinations.release(origin);
  };
  const crowd = (origin: string, count: number) =>
    Array.from({ length: count }, () => destinations.acquire(origin, () => undefined));
  const slowPlaces = crowd('http://slow', 102);
  crowd('http://quick', 200);
  crowd('http://few', 2 + destinations.crowd);
  assert.deepEqual(destinations.slow(0), [], 'nothing is known of them');
  assert.deepEqual(destinations.slow(200), [], 'too soon');
  release('http://quick', 50);
  assert.deepEqual(destinations.slow(250), [], 'once is no sign');
  release('http://slow', 5);
  release('http://quick', 50);
  assert.deepEqual(destinations.slow(500), ['http://slow'], '95 behind 20 a second');
  assert.equal(destinations.places('http://slow'), 0);
  release('http://quick', 100);
  // Those beyond a crowd leave; some of them twice.
  for (const place of [...slowPlaces.slice(11), ...slowPlaces.slice(90)]) {
    destinations.leave('http://slow', place);
  }
  assert.equal(destinations.places('http://slow'), 0);
  assert.deepEqual(destinations.slow(750), []);
  assert.deepEqual(destinations.slow(1_000), []);
  release('http://slow', 4);
  assert.equal(destinations.places('http://slow'), 4, 'two of six are under way');
});

test('whoever leaves is passed over, the others keep their order, and all slots come back', () => {
  const steps = fc.array(fc.record({ leaves: fc.boolean(), releases: fc.nat({ max: 2 }) }), {
    minLength: 1,
    maxLength: 200,
  });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 3 }), (operations, perDestination) => {
      const destinations = createDestinations({ perDestination, total: 3 });
      const started: number[] = [];
      const left = new Set<number>();
      let active = 0;
      for (const [number, { leaves, releases }] of operations.entries()) {
        const place = destinations.acquire('http://a', () => {
          started.push(number);
          active += 1;
        });
        if (leaves) {
          if (!started.includes(number)) left.add(number);
          destinations.leave('http://a', place);
        }
        for (let index = 0; index < releases && active > 0; index++) {
          active -= 1;
          destinations.release('http://a');
        }
      }
      while (active > 0) {
        active -= 1;
        destinations.release('http://a');
      }
      const others = [...operations.keys()].filter((number) => !left.has(number));
      assert.deepEqual(started, others);
      assert.equal(destinations.active(), 0);
      assert.equal(destinations.places('http://a'), perDestination + destinations.crowd);
    }),
    { numRuns: 300 },
  );
});
