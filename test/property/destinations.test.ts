import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createDestinations, type Place } from '../../src/delivery/destinations.ts';

/** No attempt lasts, so none is held back: see pace.test.ts. */
const monotonicMs = () => 0;
const origins = ['http://a', 'http://b', 'http://c', 'http://d', 'http://e'];
const to = (name: string, projectId = 1) => ({ projectId, origin: `http://${name}` });

test('bounds are never exceeded, no slot is idle while work may start, and each project keeps its order', () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({
        origin: fc.constantFrom(...origins),
        projectId: fc.constantFrom(1, 1, 2, 3),
        releasesAtOnce: fc.boolean(),
      }),
      fc.record({ release: fc.nat({ max: 1_000 }) }),
      fc.record({ leave: fc.nat({ max: 1_000 }) }),
    ),
    { size: 'max', maxLength: 120 },
  );
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 24 }),
      (operations, perDestination, total) => {
        const destinations = createDestinations({ perDestination, total, monotonicMs });
        const running: { place: Place; origin: string; projectId: number }[] = [];
        const waiting = new Map<string, { number: number; place?: Place }[]>();
        let asked = 0;
        const count = (is: Partial<{ origin: string; projectId: number }>) =>
          running.filter((one) =>
            Object.entries(is).every(([key, value]) => one[key as 'origin'] === value),
          ).length;

        for (const operation of operations) {
          if ('origin' in operation) {
            const { origin, projectId, releasesAtOnce } = operation;
            const key = `${projectId} ${origin}`;
            const one: { number: number; place?: Place } = { number: asked++ };
            const queue = waiting.get(key) ?? [];
            waiting.set(key, [...queue, one]);
            one.place = destinations.acquire({ projectId, origin }, (place) => {
              const [first, ...rest] = waiting.get(key) ?? [];
              assert.equal(first?.number, one.number, 'first in, first out');
              waiting.set(key, rest);
              running.push({ place, origin, projectId });
              assert.ok(running.length <= total && count({ origin }) <= perDestination);
              if (!releasesAtOnce) return;
              running.splice(
                running.findIndex((other) => other.place === place),
                1,
              );
              destinations.release(place);
            });
          } else if ('release' in operation) {
            const [one] = running.splice(operation.release % Math.max(1, running.length), 1);
            if (one !== undefined) destinations.release(one.place);
          } else {
            const all = [...waiting].flatMap(([key, queue]) => queue.map((one) => ({ key, one })));
            const leaving = all[operation.leave % all.length];
            if (leaving?.one.place === undefined) continue;
            waiting.set(
              leaving.key,
              (waiting.get(leaving.key) ?? []).filter((one) => one !== leaving.one),
            );
            destinations.leave(leaving.one.place);
          }
          assert.equal(destinations.active(), running.length);
          const free = total - running.length;
          for (const [key, queue] of waiting) {
            const [projectId, origin = ''] = key.split(' ');
            const mayStart =
              queue.length > 0 &&
              free > 0 &&
              count({ origin }) < perDestination &&
              count({ projectId: Number(projectId) }) < 9 * free;
            if (!mayStart) continue;
            // Somebody of a project that has its share may stand before it until the next slot is given back.
            const others = [...waiting].filter(
              ([other, { length }]) => other.endsWith(origin) && length > 0,
            );
            assert.ok(others.length > 1, `${key} waits`);
          }
        }
        // In the end all have had their turn.
        for (let round = 0; round < 10_000 && running.length > 0; round++) {
          const one = running.shift();
          if (one !== undefined) destinations.release(one.place);
        }
        assert.ok([...waiting.values()].every(({ length }) => length === 0));
        assert.equal(destinations.active(), 0);
      },
    ),
    { numRuns: 1_000 },
  );
});

test('a crowd at some destinations does not keep another project waiting longer than one turn', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      fc.boolean(),
      (perDestination, crowded, isAtTheSame) => {
        // Crowds that have more waiting than they can ever get.
        const total = perDestination * crowded;
        const destinations = createDestinations({ perDestination, total, monotonicMs });
        const running: Place[] = [];
        for (let index = 0; index < crowded; index++) {
          for (let job = 0; job < 1_000; job++) {
            destinations.acquire(to(`crowd-${index}`), (place) => running.push(place));
          }
        }
        let started = false;
        destinations.acquire(to(isAtTheSame ? 'crowd-0' : 'lone', 2), () => (started = true));
        let releases = 0;
        while (!started) {
          const place = running.shift();
          assert.ok(place !== undefined && releases <= crowded, `${releases} slots went elsewhere`);
          releases += 1;
          destinations.release(place);
        }
      },
    ),
  );
});

test('one project with slow receivers everywhere leaves slots to the others', () => {
  const destinations = createDestinations({ perDestination: 10, total: 100, monotonicMs });
  let started = 0;
  for (let origin = 0; origin < 1_000; origin++) {
    for (let job = 0; job < 10; job++)
      destinations.acquire(to(`slow-${origin}`), () => (started += 1));
  }
  assert.equal(started, 90);
  const places: Place[] = [];
  for (let job = 0; job < 5; job++)
    destinations.acquire(to('quick', 2), (place) => places.push(place));
  assert.equal(places.length, 5);
  for (const place of places) destinations.release(place);
  assert.equal(started, 90);
});

test('slots of one origin go to its projects in turn', () => {
  const destinations = createDestinations({ perDestination: 2, total: 100, monotonicMs });
  const started: number[] = [];
  const running: Place[] = [];
  for (const projectId of [1, 2, 3]) {
    for (let job = 0; job < (projectId === 1 ? 1_000 : 4); job++) {
      destinations.acquire(to('shared', projectId), (place) => {
        started.push(projectId);
        running.push(place);
      });
    }
  }
  while (started.length < 16) {
    const place = running.shift();
    assert.ok(place !== undefined);
    destinations.release(place);
  }
  assert.deepEqual(started.filter((projectId) => projectId > 1).length, 8, started.join(' '));
});

test('tens of thousands that are given back as soon as they start do not overflow the stack', () => {
  const destinations = createDestinations({ perDestination: 1, total: 1, monotonicMs });
  const first: Place[] = [];
  destinations.acquire(to('a'), (place) => first.push(place));
  let started = 0;
  for (let job = 0; job < 50_000; job++) {
    destinations.acquire(to('a'), (place) => {
      started += 1;
      destinations.release(place);
    });
  }
  for (const place of first) destinations.release(place);
  assert.equal(started, 50_000);
  assert.equal(destinations.active(), 0);
});

test('a start that throws does not block those behind it', () => {
  const destinations = createDestinations({ perDestination: 1, total: 1, monotonicMs });
  let taken: Place | undefined;
  assert.throws(() =>
    destinations.acquire(to('a'), (place) => {
      taken = place;
      throw new Error('a defect');
    }),
  );
  let started = false;
  destinations.acquire(to('b'), () => (started = true));
  assert.ok(taken !== undefined);
  destinations.release(taken);
  assert.equal(started, true);
});

test('a destination is slow when its crowd would wait for over three seconds, twice in a row', () => {
  const destinations = createDestinations({ perDestination: 2, total: 10, monotonicMs });
  const running = new Map<string, Place[]>();
  const crowd = (name: string, count: number, projectId = 1) =>
    Array.from({ length: count }, () =>
      destinations.acquire(to(name, projectId), (place) => {
        running.set(name, [...(running.get(name) ?? []), place]);
      }),
    );
  const release = (name: string, count: number) => {
    for (let index = 0; index < count; index++) {
      const [place, ...rest] = running.get(name) ?? [];
      assert.ok(place !== undefined);
      running.set(name, rest);
      destinations.release(place);
    }
  };
  const slowAt = (nowMs: number) =>
    destinations.slow(nowMs).map(({ projectId, origin }) => `${projectId} ${origin}`);
  const slowPlaces = crowd('slow', 102);
  crowd('quick', 200);
  crowd('few', 2 + destinations.crowd);
  assert.deepEqual(slowAt(0), [], 'nothing is known of them');
  assert.deepEqual(slowAt(200), [], 'too soon');
  release('quick', 50);
  assert.deepEqual(slowAt(250), [], 'once is no sign');
  release('slow', 5);
  release('quick', 50);
  crowd('slow', 3, 2);
  assert.deepEqual(slowAt(500), ['1 http://slow'], '95 behind 20 a second');
  assert.equal(destinations.places(to('slow')), 0);
  release('quick', 90);
  // Those beyond a crowd leave; some of them twice.
  for (const place of [...slowPlaces.slice(11), ...slowPlaces.slice(90)]) destinations.leave(place);
  assert.equal(destinations.places(to('slow')), 0);
  assert.equal(destinations.places(to('slow', 2)), 3);
  assert.deepEqual(slowAt(750), []);
  assert.deepEqual(slowAt(1_000), []);
});

test('whoever leaves is passed over, the others keep their order, and all slots come back', () => {
  const steps = fc.array(fc.record({ leaves: fc.boolean(), releases: fc.nat({ max: 2 }) }), {
    minLength: 1,
    maxLength: 200,
  });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 3 }), (operations, perDestination) => {
      const destinations = createDestinations({ perDestination, total: 3, monotonicMs });
      const started: number[] = [];
      const left = new Set<number>();
      const running: Place[] = [];
      const releaseOne = () => {
        const place = running.shift();
        if (place !== undefined) destinations.release(place);
      };
      for (const [number, { leaves, releases }] of operations.entries()) {
        const place = destinations.acquire(to('a'), (won) => {
          started.push(number);
          running.push(won);
        });
        if (leaves) {
          if (!started.includes(number)) left.add(number);
          destinations.leave(place);
        }
        for (let index = 0; index < releases; index++) releaseOne();
      }
      while (running.length > 0) releaseOne();
      const others = [...operations.keys()].filter((number) => !left.has(number));
      assert.deepEqual(started, others);
      assert.equal(destinations.active(), 0);
      assert.equal(destinations.places(to('a')), perDestination + destinations.crowd);
    }),
    { numRuns: 300 },
  );
});
