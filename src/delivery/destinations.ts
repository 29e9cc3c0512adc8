import { createFlow, type Flow, type Place } from './flow.ts';
import { createPace, type Pace } from './pace.ts';

/** A project's timers for one origin. */
export interface Destination {
  readonly projectId: number;
  readonly origin: string;
}

/**
 * Bounds deliveries under way, in all, per origin and per project, so that nothing ever queues inside the
 * HTTP client: what waits there sees neither its deadline nor a recall. Slots are given in turn: of
 * all, to the projects that have somebody waiting; of an origin, to the projects that wait there; of
 * a project, to its origins; and there in the order of asking.
 */
export interface Destinations {
  /** Calls `start` once there is a slot, at once if there is one now. */
  acquire(destination: Destination, start: (place: Place) => void): Place;
  /** Gives the slot back that was given to this place. */
  release(place: Place): void;
  /** Waits no longer; nothing where it has started. */
  leave(place: Place): void;
  /** How many may wait for a slot of one destination before they are a crowd: twice its slots. */
  readonly crowd: number;
  /** How many more it can take before a crowd waits. */
  places(destination: Destination): number;
  /**
   * Those where more than a crowd waits and that, by what they did in each of the last two quarters of a
   * second, need over three seconds for it. Asked several times a second.
   */
  slow(nowMs: number): Destination[];
  /** Slots in use. */
  active(): number;
}

export type { Place };

interface Origin {
  active: number;
  /** By project. */
  readonly flows: Map<number, Flow>;
  /**
   * Flows that found all its slots in use, or too many that had just started, in turn: each slot that is given
   * back passes one on, and so does its pace.
   */
  readonly blocked: Flow[];
  /** Some wait, or have until now, since all its slots were in use: those are not begun all at once. */
  isFull: boolean;
  readonly pace: Pace;
}

interface Project {
  active: number;
  /** Its flows that could have a slot of their origin, in turn. */
  readonly line: Flow[];
  isLined: boolean;
}

// A project may use so many times as many slots as are free: one alone nine tenths of them, two 9/19 each,
// and there is always one for who comes next, however slow all receivers of the others are.
const timesFree = 9;

export function createDestinations(options: {
  perDestination: number;
  total: number;
  monotonicMs: () => number;
}): Destinations {
  const { perDestination, total, monotonicMs } = options;
  const crowd = 2 * perDestination;
  const origins = new Map<string, Origin>();
  const projects = new Map<number, Project>();
  // Projects with somebody who could have a slot if there was one of all, in turn.
  const line: Project[] = [];
  /** Projects that have as many slots as they may. */
  const sated = new Set<Project>();
  let active = 0;
  let serving = false;

  function originOf(name: string): Origin {
    let origin = origins.get(name);
    if (origin === undefined) {
      const onOpen = () => {
        passOn(made);
        serveLine();
      };
      const pace = createPace({ slots: perDestination, monotonicMs, onOpen });
      const made: Origin = { active: 0, flows: new Map(), blocked: [], isFull: false, pace };
      origin = made;
      origins.set(name, origin);
    }
    return origin;
  }

  function projectOf(id: number): Project {
    let project = projects.get(id);
    if (project === undefined) {
      project = { active: 0, line: [], isLined: false };
      projects.set(id, project);
    }
    return project;
  }

  function flowOf({ projectId, origin: name }: Destination): Flow {
    const { flows } = originOf(name);
    let flow = flows.get(projectId);
    if (flow === undefined) {
      flow = createFlow(projectId, name);
      flows.set(projectId, flow);
    }
    return flow;
  }

  function lineUp(project: Project): void {
    if (project.isLined || project.line.length === 0) return;
    project.isLined = true;
    line.push(project);
  }

  function lineUpFlow(flow: Flow): void {
    if (flow.isLined || flow.waiting() === 0) return;
    flow.isLined = true;
    const origin = originOf(flow.origin);
    if (origin.active >= perDestination) block(origin, flow);
    else goToProject(flow);
  }

  function block(origin: Origin, flow: Flow): void {
    if (origin.active >= perDestination) origin.isFull = true;
    origin.blocked.push(flow);
  }

  function goToProject(flow: Flow): Project {
    const project = projectOf(flow.projectId);
    project.line.push(flow);
    lineUp(project);
    return project;
  }

  /** A slot of an origin is free: the next one that is blocked may have it, and is not kept from it. */
  function passOn(origin: Origin): void {
    for (;;) {
      const flow = origin.blocked.shift();
      if (flow === undefined || !isSated(goToProject(flow))) return;
    }
  }

  function forgetIdle(flow: Flow): void {
    if (flow.active > 0 || flow.isLined || flow.waiting() > 0) return;
    const { projectId, origin: name } = flow;
    const origin = originOf(name);
    origin.flows.delete(projectId);
    if (origin.flows.size === 0) origins.delete(name);
    const project = projectOf(projectId);
    if (project.active === 0 && project.line.length === 0 && !project.isLined) {
      projects.delete(projectId);
    }
  }

  function serve(project: Project): void {
    const flow = project.line.shift();
    if (flow === undefined) return;
    const origin = originOf(flow.origin);
    if (origin.active >= perDestination || (origin.isFull && !origin.pace.take())) {
      block(origin, flow);
      lineUp(project);
      return;
    }
    flow.isLined = false;
    const place = flow.next();
    if (place === undefined) {
      passOn(origin);
      lineUp(project);
      forgetIdle(flow);
      return;
    }
    // It cannot leave any more.
    place.isLeft = true;
    place.startedAtMs = monotonicMs();
    flow.active += 1;
    origin.active += 1;
    project.active += 1;
    active += 1;
    if (flow.waiting() === 0 && origin.blocked.length === 0) origin.isFull = false;
    lineUpFlow(flow);
    lineUp(project);
    place.start(place);
  }

  function serveLine(): void {
    // `start` may release at once (recalled meanwhile): the loop below goes on, the stack does not
    // grow.
    if (serving) return;
    serving = true;
    try {
      while (active < total) {
        const first = line.shift();
        if (first === undefined) break;
        first.isLined = false;
        if (isSated(first)) sated.add(first);
        else serve(first);
      }
    } finally {
      serving = false;
    }
  }

  function isSated(project: Project): boolean {
    return project.active >= timesFree * (total - active);
  }

  return {
    acquire(destination, start) {
      const flow = flowOf(destination);
      const place = flow.push(start);
      lineUpFlow(flow);
      serveLine();
      return place;
    },
    release({ flow, startedAtMs }) {
      const origin = originOf(flow.origin);
      origin.pace.ended(monotonicMs() - startedAtMs);
      flow.active -= 1;
      flow.released();
      origin.active -= 1;
      projectOf(flow.projectId).active -= 1;
      active -= 1;
      passOn(origin);
      for (const project of sated) {
        if (isSated(project)) continue;
        sated.delete(project);
        lineUp(project);
      }
      forgetIdle(flow);
      serveLine();
    },
    leave(place) {
      place.flow.leave(place);
      forgetIdle(place.flow);
    },
    crowd,
    places({ projectId, origin }) {
      const flow = origins.get(origin)?.flows.get(projectId);
      const most = perDestination + crowd;
      return flow === undefined ? most : Math.max(0, most - flow.active - flow.waiting());
    },
    slow(nowMs) {
      const slow: Destination[] = [];
      for (const { flows } of origins.values()) {
        for (const flow of flows.values()) if (flow.isSlow(nowMs, crowd)) slow.push(flow);
      }
      return slow;
    },
    active: () => active,
  };
}
