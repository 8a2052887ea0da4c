import type { Clock } from '#base/clock.ts';
import type { FlowSeries, LevelSeries } from './flow-metrics.ts';
import { Integrator } from './integrator.ts';
import type { WorkEstimate } from './work-estimate.ts';

/** How the requests of a level wait: not at all (`exempt` is never refused, `reject` at once), or in queues. */
export type Queuing =
  | { readonly type: 'exempt' }
  | { readonly type: 'reject' }
  | { readonly type: 'queue'; readonly queues: number; readonly handSize: number; readonly queueLengthMax: number };

/** What is known of a request for whoever looks into the queues. */
export interface RequestNote {
  readonly schema: string;
  readonly distinguisher: string;
  readonly userName: string;
  readonly verb: string;
  readonly path: string;
  readonly namespace: string;
  readonly name: string;
  readonly apiVersion: string;
  readonly resource: string;
  readonly subresource: string;
}

/** One request in a level, from its arrival until its seats are free again. */
export class Ticket {
  readonly work: WorkEstimate;
  readonly seats: number;
  readonly series: FlowSeries;
  readonly note: () => RequestNote;
  readonly arrivalMs: number;
  readonly arrivalR: number;
  readonly queue: Queue | undefined;
  startMs = 0;
  state: 'waiting' | 'executing' | 'done' = 'waiting';
  /** Called when a request that had to wait gets its turn. */
  onTurn: (() => void) | undefined;

  constructor(
    arrival: Pick<Arrival, 'work' | 'series' | 'note'>,
    arrivalMs: number,
    arrivalR: number,
    queue: Queue | undefined,
  ) {
    this.work = arrival.work;
    this.seats = Math.max(arrival.work.initialSeats, arrival.work.finalSeats);
    this.series = arrival.series;
    this.note = arrival.note;
    this.arrivalMs = arrivalMs;
    this.arrivalR = arrivalR;
    this.queue = queue;
  }

  /** Seat-seconds, where nobody knows how long it takes before it is done. */
  get totalWork(): number {
    const { initialSeats, finalSeats, finalMs } = this.work;
    return (initialSeats * expectedServiceMs + finalSeats * finalMs) / 1000;
  }
}

/** Upstream's guess of how long a request takes, until it is known. */
const expectedServiceMs = 3;

export interface Arrival {
  readonly work: WorkEstimate;
  readonly series: FlowSeries;
  /** The queues that the request's flow may wait in. */
  readonly hand: readonly number[];
  readonly note: () => RequestNote;
}

export class Queue {
  index: number;
  waiting: Ticket[] = [];
  readonly executing = new Set<Ticket>();
  seatsInUse = 0;
  waitingWork = 0;
  /** The progress meter's reading at which the next request would be begun if every queue had its fair part. */
  nextDispatchR = 0;

  constructor(index: number) {
    this.index = index;
  }

  get isActive(): boolean {
    return this.waiting.length > 0 || this.executing.size > 0;
  }
}

/**
 * The requests of one priority level: fair queuing as upstream's queueset does it. Every queue progresses in a virtual world
 * in which all of them get the same number of seats; what would be finished first there is begun first here.
 */
export class QueueSet {
  readonly queues: Queue[] = [];
  /** Executing without a queue: exempt requests, and those of a level that only rejects. */
  readonly queueless = new Set<Ticket>();
  readonly series: LevelSeries;
  readonly demand: Integrator;
  readonly #clock: Clock;
  readonly #onIdle: () => void;
  #queuing: Queuing;
  #seatsMax = 0;
  /** Seat-seconds that each active queue was given since the beginning. */
  #progress = 0;
  #lastMs: number;
  #robin = 0;
  #enqueues = 0;
  #activeQueues = 0;
  waitingRequests = 0;
  executingRequests = 0;
  seatsInUse = 0;
  seatsWaiting = 0;
  dispatched = 0;
  rejected = 0;
  timedOut = 0;
  cancelled = 0;

  constructor(queuing: Queuing, series: LevelSeries, clock: Clock, onIdle: () => void) {
    this.#queuing = queuing;
    this.series = series;
    this.#clock = clock;
    this.#onIdle = onIdle;
    this.#lastMs = clock.monotonic();
    this.demand = new Integrator(this.#lastMs);
  }

  get isIdle(): boolean {
    return this.waitingRequests === 0 && this.executingRequests === 0;
  }

  get progress(): number {
    return this.#progress;
  }

  configure(queuing: Queuing, seatsMax: number): void {
    const nowMs = this.#pass();
    this.#queuing = queuing;
    this.#seatsMax = seatsMax;
    // Queues that are too many go when they are empty.
    if (queuing.type === 'queue')
      while (this.queues.length < queuing.queues) this.queues.push(new Queue(this.queues.length));
    this.#dispatchAll(nowMs);
  }

  /** Takes a request in: it executes already, or waits for its turn. Undefined: it is refused. */
  start(arrival: Arrival): Ticket | undefined {
    const nowMs = this.#pass();
    const { series } = arrival;
    if (this.#queuing.type !== 'queue') {
      const ticket = new Ticket(arrival, nowMs, this.#progress, undefined);
      if (!this.#hasRoom(ticket.seats)) {
        this.rejected++;
        series.reject('concurrency-limit');
        return undefined;
      }
      this.queueless.add(ticket);
      this.#execute(ticket, nowMs);
      return ticket;
    }
    const queue = this.#shortestOf(arrival.hand);
    if (this.seatsInUse >= this.#seatsMax && queue.waiting.length >= this.#queuing.queueLengthMax) {
      this.rejected++;
      series.reject('queue-full');
      return undefined;
    }
    const ticket = new Ticket(arrival, nowMs, this.#progress, queue);
    this.#enqueue(ticket, queue);
    this.#dispatchAll(nowMs, queue);
    this.#note(nowMs);
    return ticket;
  }

  /** A request that waited too long, or whose client has gone. False when it had its turn already. */
  leave(ticket: Ticket, why: 'time-out' | 'cancelled'): boolean {
    const { queue } = ticket;
    if (ticket.state !== 'waiting' || !queue) return false;
    const nowMs = this.#pass();
    ticket.state = 'done';
    this.#removeWaiting(ticket, queue);
    this.#bound(queue);
    this.rejected++;
    // Upstream counts both in one.
    this.cancelled++;
    if (why === 'time-out') this.timedOut++;
    ticket.series.reject(why);
    this.#note(nowMs);
    this.#settle(queue);
    return true;
  }

  /** The request is answered: its seats are free, now or after what it left to do. */
  finish(ticket: Ticket): void {
    if (ticket.state !== 'executing') return;
    const nowMs = this.#pass();
    const { queue, work, series } = ticket;
    ticket.state = 'done';
    this.executingRequests--;
    series.executingRequests--;
    if (queue) {
      queue.executing.delete(ticket);
      if (!queue.isActive) this.#activeQueues--;
      const tookMs = nowMs - ticket.startMs;
      queue.nextDispatchR -= (work.initialSeats * (expectedServiceMs - tookMs)) / 1000;
      this.#bound(queue);
    } else this.queueless.delete(ticket);
    if (work.finalMs > 0) {
      this.#clock.after(work.finalMs, () => {
        this.#release(ticket, this.#pass());
      });
      this.#dispatchAll(nowMs);
      this.#note(nowMs);
      return;
    }
    this.#release(ticket, nowMs);
  }

  #release(ticket: Ticket, nowMs: number): void {
    const { queue, seats, series } = ticket;
    this.seatsInUse -= seats;
    series.executingSeats -= seats;
    if (queue) {
      queue.seatsInUse -= seats;
      this.#settle(queue);
    }
    if (this.waitingRequests > 0) this.#dispatchAll(nowMs);
    this.#note(nowMs);
    if (this.isIdle) this.#onIdle();
  }

  /** Time passes in the virtual world, too: as fast as the active queues are served. */
  #pass(): number {
    const nowMs = this.#clock.monotonic();
    if (this.#activeQueues > 0) {
      const seats = Math.min(this.seatsInUse + this.seatsWaiting, this.#seatsMax);
      this.#progress += ((seats / this.#activeQueues) * (nowMs - this.#lastMs)) / 1000;
    }
    this.#lastMs = nowMs;
    return nowMs;
  }

  #note(nowMs: number): void {
    this.demand.set(this.seatsInUse + this.seatsWaiting, nowMs);
    this.series.note(this, nowMs);
  }

  #shortestOf(hand: readonly number[]): Queue {
    const first = this.#enqueues++ % hand.length;
    let best = this.queues[hand[first] as number] as Queue;
    for (let step = 1; step < hand.length && best.waitingWork > 0; step++) {
      const queue = this.queues[hand[(first + step) % hand.length] as number] as Queue;
      if (queue.waitingWork < best.waitingWork) best = queue;
    }
    return best;
  }

  #enqueue(ticket: Ticket, queue: Queue): void {
    if (!queue.isActive) {
      this.#activeQueues++;
      queue.nextDispatchR = this.#progress;
    }
    queue.waiting.push(ticket);
    queue.waitingWork += ticket.totalWork;
    this.waitingRequests++;
    this.seatsWaiting += ticket.seats;
    const { series } = ticket;
    series.waitingRequests++;
    series.waitingSeats += ticket.seats;
    series.queueLength.observe(queue.waiting.length);
    this.#bound(queue);
  }

  #removeWaiting(ticket: Ticket, queue: Queue): void {
    const at = queue.waiting.indexOf(ticket);
    queue.waiting.splice(at, 1);
    // Sums of fractions drift; an empty queue is a moment to begin anew.
    queue.waitingWork = queue.waiting.length === 0 ? 0 : queue.waitingWork - ticket.totalWork;
    this.waitingRequests--;
    this.seatsWaiting -= ticket.seats;
    ticket.series.waitingRequests--;
    ticket.series.waitingSeats -= ticket.seats;
    if (!queue.isActive) this.#activeQueues--;
  }

  /** `last`: where a request came in just now. Mostly it is the only one, and nothing has to be searched. */
  #dispatchAll(nowMs: number, last?: Queue): void {
    while (this.waitingRequests > 0 && this.seatsInUse < this.#seatsMax) {
      const queue = this.waitingRequests === 1 && last?.waiting.length === 1 ? last : this.#nextQueue();
      const ticket = queue.waiting[0] as Ticket;
      if (!this.#hasRoom(ticket.seats)) {
        ticket.series.noAccommodation++;
        return;
      }
      this.#robin = queue.index;
      this.#removeWaiting(ticket, queue);
      queue.executing.add(ticket);
      // The queue was active before and stays it.
      if (queue.waiting.length === 0 && queue.executing.size === 1) this.#activeQueues++;
      queue.seatsInUse += ticket.seats;
      this.series.dispatchR = this.#progress;
      this.series.latestS = queue.nextDispatchR;
      queue.nextDispatchR += ticket.totalWork;
      this.#execute(ticket, nowMs);
      this.#bound(queue);
      ticket.onTurn?.();
    }
  }

  /** The queue whose first request would be finished first in the virtual world. */
  #nextQueue(): Queue {
    const { queues } = this;
    let best: Queue | undefined;
    let bestR = Number.POSITIVE_INFINITY;
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    let [lowDiscounted, highDiscounted] = [low, high];
    for (let step = 1; step <= queues.length; step++) {
      const queue = queues[(this.#robin + step) % queues.length] as Queue;
      const first = queue.waiting[0];
      if (!first) continue;
      const startR = queue.nextDispatchR;
      const discounted = startR - (queue.seatsInUse * expectedServiceMs) / 1000;
      low = Math.min(low, startR);
      high = Math.max(high, startR);
      lowDiscounted = Math.min(lowDiscounted, discounted);
      highDiscounted = Math.max(highDiscounted, discounted);
      const finishR = startR + first.totalWork;
      if (finishR < bestR) {
        best = queue;
        bestR = finishR;
      }
    }
    this.series.nextS = { min: low, max: high };
    this.series.nextDiscountedS = { min: lowDiscounted, max: highDiscounted };
    return best as Queue;
  }

  #execute(ticket: Ticket, nowMs: number): void {
    ticket.state = 'executing';
    ticket.startMs = nowMs;
    this.executingRequests++;
    this.dispatched++;
    this.seatsInUse += ticket.seats;
    ticket.series.executingRequests++;
    ticket.series.executingSeats += ticket.seats;
    if (!ticket.queue) this.#note(nowMs);
  }

  #hasRoom(seats: number): boolean {
    if (this.#queuing.type === 'exempt') return true;
    // What is wider than the level gets it alone.
    if (seats > this.#seatsMax) return this.executingRequests === 0;
    return this.seatsInUse + seats <= this.#seatsMax;
  }

  /** Nothing is begun in the virtual world before it came: a queue cannot save up what it did not use. */
  #bound(queue: Queue): void {
    const first = queue.waiting[0];
    if (first && queue.nextDispatchR < first.arrivalR) queue.nextDispatchR = first.arrivalR;
  }

  /** Takes out a queue that is no longer wanted, once it is empty. */
  #settle(queue: Queue): void {
    const wanted = this.#queuing.type === 'queue' ? this.#queuing.queues : 0;
    if (this.queues.length <= wanted || queue.isActive || queue.seatsInUse > 0) return;
    this.queues.splice(queue.index, 1);
    for (let index = queue.index; index < this.queues.length; index++) (this.queues[index] as Queue).index = index;
    if (this.#robin >= queue.index) this.#robin--;
  }
}
