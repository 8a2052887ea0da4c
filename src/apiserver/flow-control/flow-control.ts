import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import { FlowSchema } from '#api/flowcontrol/v1/flow-schema.ts';
import { PriorityLevelConfiguration } from '#api/flowcontrol/v1/priority-level-configuration.ts';
import type { User } from '#auth/user.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from '../call.ts';
import { timeoutOf } from '../deadline.ts';
import { isLongRunning, isReadOnly } from '../in-flight.ts';
import type { RequestInfo } from '../request-info.ts';
import { textResponse } from '../text.ts';
import { imaginedLevel, imaginedSchema } from './bootstrap-configuration.ts';
import { allocate, type AllocationWish } from './concurrency-allocation.ts';
import { FlowMetrics, type FlowSeries, type LevelSeries } from './flow-metrics.ts';
import { matchesSchema } from './matching.ts';
import { QueueSet, type Queuing, type RequestNote, type Ticket } from './queue-set.ts';
import { RetryAfter } from './retry-after.ts';
import { dealHand } from './shuffle-sharding.ts';
import { WatchTracker } from './watch-tracker.ts';
import { estimateWork, type EstimateSources } from './work-estimate.ts';

export interface FlowControlOptions {
  readonly clock: Clock;
  /** Requests at once, all levels together: `max-requests-inflight` + `max-mutating-requests-inflight`. */
  readonly seatsMax: number;
  /** How many objects a resource has, and how large they are. */
  readonly sizeOf: EstimateSources['sizeOf'];
}

/** One priority level at work. */
export interface Level {
  readonly name: string;
  configuration: PriorityLevelConfiguration;
  readonly queues: QueueSet;
  readonly series: LevelSeries;
  /** No longer configured; goes when its requests are answered. */
  quiescing: boolean;
  nominalSeats: number;
  lowerSeats: number;
  upperSeats: number;
  currentSeats: number;
  smoothedDemand: number;
  highestDemand: number;
  /** What one request may take of it. */
  requestSeatsMax: number;
}

/** Where a request belongs. */
interface Flow {
  readonly schema: FlowSchema;
  readonly level: Level;
  readonly series: FlowSeries;
  readonly method: string | undefined;
  /** The distinguisher → the queues it may wait in. */
  readonly hands: Map<string, readonly number[]>;
}

/** Upstream's period, and its smoothing: half of what demand was is forgotten in five minutes. */
const borrowingPeriodMs = 10_000;
const smoothing = 0.977;
const requestPart = 0.15;
const waitMsMax = 60_000;

/**
 * API Priority and Fairness (KEP-1040): sorts requests by FlowSchemas into priority levels, each with seats of its own, lets
 * them wait in fair queues where a level is full, and moves unused seats between levels.
 */
export class FlowControl {
  readonly metrics: FlowMetrics;
  readonly #clock: Clock;
  readonly #seatsMax: number;
  readonly #sources: EstimateSources;
  readonly #watches = new WatchTracker();
  readonly #retryAfter: RetryAfter;
  #levels = new Map<string, Level>();
  #schemas: readonly FlowSchema[] = [];
  /** The shape of a request → where it belongs. */
  #flows = new Map<string, Flow>();
  #flowsBySchema = new Map<string, Flow>();
  #namespacesMatter = false;
  #configured: { readonly levels: readonly PriorityLevelConfiguration[]; readonly schemas: readonly FlowSchema[] };

  constructor({ clock, seatsMax, sizeOf }: FlowControlOptions) {
    this.#clock = clock;
    this.#seatsMax = seatsMax;
    this.#sources = { sizeOf, watchersOf: info => this.#watches.interested(info) };
    this.metrics = new FlowMetrics(clock);
    this.#retryAfter = new RetryAfter(clock);
    this.#configured = { levels: [], schemas: [] };
    this.configure([], []);
  }

  /** In the order of their names. */
  get levels(): readonly Level[] {
    return [...this.#levels.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Moves seats between levels from time to time. The returned function ends it. */
  start(): () => void {
    const tick = () => {
      cancel = this.#clock.after(borrowingPeriodMs, tick);
      this.#adjust();
    };
    let cancel = this.#clock.after(borrowingPeriodMs, tick);
    return () => cancel();
  }

  /** The step of the chain. */
  async admit(call: Call, next: () => Promise<ApiResponse>): Promise<ApiResponse> {
    const { info } = call;
    const isWatch = info.verb === 'watch';
    if (!isWatch && isLongRunning(call)) return next();
    const flow = this.#flowOf(call.user, info);
    const { level, schema, series } = flow;
    call.flow = { schemaUid: schema.metadata.uid ?? '', levelUid: level.configuration.metadata.uid ?? '' };
    const distinguisher = flow.method === undefined ? '' : flow.method === 'ByUser' ? call.user.name : info.namespace;
    const work = estimateWork(info, call.request.query, level.requestSeatsMax, this.#sources);
    series.estimatedSeats.observe(Math.max(work.initialSeats, work.finalSeats));
    const ticket = level.queues.start({
      work,
      series,
      hand: this.#handOf(flow, distinguisher),
      note: () => noteOf(call, schema, distinguisher),
    });
    const kind = isReadOnly(info.verb) ? 'readOnly' : 'mutating';
    if (!ticket) return this.#refuse(level);
    const limited = level.configuration.spec.type !== 'Exempt';
    if (ticket.state === 'waiting') {
      this.metrics.count('waiting', kind, 1, ticket.arrivalMs);
      const gotItsTurn = await this.#turn(call, level, ticket);
      const nowMs = this.#clock.monotonic();
      this.metrics.count('waiting', kind, -1, nowMs);
      series.waitSeconds[gotItsTurn ? 'true' : 'false'].observe((nowMs - ticket.arrivalMs) / 1000);
      if (!gotItsTurn) return this.#refuse(level);
    } else if (limited) series.waitSeconds.true.observe(0);
    series.dispatched++;
    this.metrics.count('executing', kind, 1, ticket.startMs);
    const done = () => {
      level.queues.finish(ticket);
      const nowMs = this.#clock.monotonic();
      series.executionSeconds[isWatch ? 'watch' : 'regular'].observe((nowMs - ticket.startMs) / 1000);
      this.metrics.count('executing', kind, -1, nowMs);
    };
    if (isWatch) return this.#watch(call, next, done);
    try {
      return await next();
    } finally {
      done();
    }
  }

  /** A watch takes seats until it has sent the state it begins with. */
  async #watch(call: Call, next: () => Promise<ApiResponse>, done: () => void): Promise<ApiResponse> {
    const forget = this.#watches.add(call.info);
    const { signal } = call.request;
    let isDone = false;
    const ready = () => {
      if (isDone) return;
      isDone = true;
      signal.removeEventListener('abort', ready);
      done();
    };
    call.onWatchReady = ready;
    call.onWatchEnd = forget;
    let response: ApiResponse | undefined;
    try {
      response = await next();
    } finally {
      if (response?.kind !== 'watch') {
        ready();
        forget();
      } else if (!isDone) {
        if (signal.aborted) ready();
        else signal.addEventListener('abort', ready, { once: true });
      }
    }
    return response;
  }

  #turn(call: Call, level: Level, ticket: Ticket): Promise<boolean> {
    return new Promise(resolve => {
      const { signal } = call.request;
      const settle = (gotItsTurn: boolean) => {
        cancel();
        signal.removeEventListener('abort', aborted);
        resolve(gotItsTurn);
      };
      const leave = (why: 'time-out' | 'cancelled') => {
        if (level.queues.leave(ticket, why)) settle(false);
      };
      const aborted = () => leave('cancelled');
      const deadlineMs = call.info.verb === 'watch' ? limits.requestTimeoutMs : timeoutOf(call);
      const cancel = this.#clock.after(Math.min(deadlineMs / 4, waitMsMax), () => leave('time-out'));
      ticket.onTurn = () => settle(true);
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted, { once: true });
    });
  }

  #refuse(level: Level): ApiResponse {
    const retryAfter = String(this.#retryAfter.refused(level.name));
    return textResponse(429, 'Too many requests, please try again later.\n', { 'retry-after': retryAfter });
  }

  #flowOf(user: User, info: RequestInfo): Flow {
    const about = info.isResource
      ? `${info.resource}/${info.subresource}.${info.group}\n${
          this.#namespacesMatter || info.namespace === '' ? info.namespace : '*'
        }`
      : info.path;
    const shape = `${info.verb}\n${about}\n${user.name}\n${user.groups.length === 1 ? user.groups[0] : user.groups.join()}`;
    const known = this.#flows.get(shape);
    if (known) return known;
    // Users and paths are without number; what is asked often is there again at once.
    if (this.#flows.size >= limits.flowShapesMax) this.#flows.clear();
    const flow = this.#classify(user, info);
    this.#flows.set(shape, flow);
    return flow;
  }

  #classify(user: User, info: RequestInfo): Flow {
    const schema =
      this.#schemas.find(each => matchesSchema(each, user, info)) ??
      (this.#schemas.find(({ metadata }) => metadata.name === 'catch-all') as FlowSchema);
    return this.#flowsBySchema.get(schema.metadata.name as string) as Flow;
  }

  #handOf({ schema, level, hands }: Flow, distinguisher: string): readonly number[] {
    const queuing = level.configuration.spec.limited?.limitResponse.queuing;
    if (!queuing) return noHand;
    const known = hands.get(distinguisher);
    if (known) return known;
    if (hands.size >= limits.flowShapesMax) hands.clear();
    const hand = dealHand(schema.metadata.name as string, distinguisher, queuing.queues, queuing.handSize);
    hands.set(distinguisher, hand);
    return hand;
  }

  /**
   * Takes over what is stored. What is broken is as if it were not there; what is mandatory is there whether stored or not.
   * Answers with the names of the schemas whose level is missing.
   */
  configure(configured: readonly PriorityLevelConfiguration[], schemas: readonly FlowSchema[]): ReadonlySet<string> {
    this.#configured = { levels: configured, schemas };
    const wanted = new Map(configured.filter(isSound).map(each => [each.metadata.name as string, each]));
    const dangling = new Set<string>();
    const sound = schemas.filter(({ metadata, spec }) => {
      if (wanted.has(spec.priorityLevelConfiguration.name)) return true;
      dangling.add(metadata.name as string);
      return false;
    });
    for (const name of ['exempt', 'catch-all']) if (!wanted.has(name)) wanted.set(name, imaginedLevel(name));
    this.#replaceLevels(wanted);
    this.#schemas = ordered(sound);
    this.#namespacesMatter = this.#schemas.some(({ spec }) =>
      (spec.rules ?? []).some(rule =>
        (rule.resourceRules ?? []).some(({ namespaces = [] }) => namespaces.length > 0 && namespaces[0] !== '*'),
      ),
    );
    this.#flows.clear();
    this.#flowsBySchema = new Map(this.#schemas.map(each => [each.metadata.name as string, this.#flowOfSchema(each)]));
    this.#divide();
    this.#adjust();
    return dangling;
  }

  #flowOfSchema(schema: FlowSchema): Flow {
    const level = this.#levels.get(schema.spec.priorityLevelConfiguration.name) as Level;
    const { spec, metadata } = schema;
    const queues = level.configuration.spec.limited?.limitResponse.queuing?.queues ?? 0;
    return {
      schema,
      level,
      series: this.metrics.flow(level.name, metadata.name as string),
      method: queues > 1 ? spec.distinguisherMethod?.type : undefined,
      hands: new Map(),
    };
  }

  #replaceLevels(wanted: ReadonlyMap<string, PriorityLevelConfiguration>): void {
    const levels = new Map<string, Level>();
    for (const [name, configuration] of wanted) {
      const level = this.#levels.get(name) ?? this.#newLevel(name, configuration);
      level.configuration = configuration;
      level.quiescing = false;
      levels.set(name, level);
    }
    for (const [name, level] of this.#levels) {
      if (levels.has(name)) continue;
      if (level.queues.isIdle) {
        this.metrics.forget(name);
        continue;
      }
      level.quiescing = true;
      levels.set(name, level);
    }
    this.#levels = levels;
  }

  #newLevel(name: string, configuration: PriorityLevelConfiguration): Level {
    const series = this.metrics.level(name);
    const level: Level = {
      name,
      configuration,
      queues: new QueueSet(queuingOf(configuration), series, this.#clock, () => {
        if (level.quiescing) this.configure(this.#configured.levels, this.#configured.schemas);
      }),
      series,
      quiescing: false,
      nominalSeats: 0,
      lowerSeats: 0,
      upperSeats: 0,
      currentSeats: 0,
      smoothedDemand: 0,
      highestDemand: 0,
      requestSeatsMax: 1,
    };
    return level;
  }

  /** Every level gets its share of the server's seats, and how much of them it lends and borrows. */
  #divide(): void {
    const shares = [...this.#levels.values()].reduce((sum, level) => sum + sharesOf(level).shares, 0);
    let waitingMax = 0;
    let executingMax = 0;
    for (const level of this.#levels.values()) {
      const { shares: own, lendable, borrowing } = sharesOf(level);
      const nominal = shares === 0 ? 0 : Math.ceil((this.#seatsMax * own) / shares);
      level.nominalSeats = nominal;
      level.lowerSeats = nominal - Math.round((nominal * lendable) / 100);
      level.upperSeats = nominal + (borrowing === undefined ? this.#seatsMax : Math.round((nominal * borrowing) / 100));
      executingMax += nominal;
      const queuing = level.configuration.spec.limited?.limitResponse.queuing;
      level.requestSeatsMax = queuing
        ? Math.max(1, Math.min(Math.ceil(nominal * requestPart), Math.trunc(nominal / queuing.handSize)))
        : Number.POSITIVE_INFINITY;
      if (queuing) waitingMax += queuing.queues * queuing.queueLengthLimit;
      const { series } = level;
      series.nominalSeats = nominal;
      series.lowerSeats = level.lowerSeats;
      series.upperSeats = level.upperSeats;
      series.waitingDenominator = queuing ? queuing.queues * queuing.queueLengthLimit : 1;
    }
    this.metrics.denominators.waiting = Math.max(1, waitingMax);
    this.metrics.denominators.executing = Math.max(1, executingMax);
  }

  /** Moves seats from levels that do not need theirs to those that could use more. */
  #adjust(): void {
    const nowMs = this.#clock.monotonic();
    const levels = [...this.#levels.values()];
    for (const level of levels) noteDemand(level, nowMs);
    const limited = levels.filter(({ configuration }) => configuration.spec.type !== 'Exempt');
    const exempt = levels.filter(({ configuration }) => configuration.spec.type === 'Exempt');
    const total = levels.reduce((sum, { nominalSeats }) => sum + nominalSeats, 0);
    let left = total;
    for (const level of exempt) {
      level.currentSeats = Math.max(level.lowerSeats, level.highestDemand);
      left -= level.currentSeats;
    }
    const seats = this.#seatsOf(limited, left);
    // A level without a seat would stand still until seats are moved again.
    for (const [index, level] of limited.entries())
      level.currentSeats = Math.max(level.nominalSeats > 0 ? 1 : 0, seats[index] as number);
    for (const level of levels) {
      const { series, currentSeats } = level;
      series.currentSeats = currentSeats;
      series.seatsDenominator = currentSeats > 0 ? currentSeats : Math.max(1, Math.round(this.#seatsMax / 10));
      level.queues.configure(queuingOf(level.configuration), currentSeats);
    }
  }

  #seatsOf(levels: readonly Level[], left: number): readonly number[] {
    const wishes = levels.map((level): AllocationWish => {
      const lower = Math.max(level.lowerSeats, Math.min(level.nominalSeats, level.highestDemand));
      const target = Math.max(lower, level.smoothedDemand);
      level.series.targetSeats = target;
      return { lower, upper: level.upperSeats, target };
    });
    const lowest = levels.reduce((sum, { lowerSeats }) => sum + lowerSeats, 0);
    const wanted = wishes.reduce((sum, { lower }) => sum + lower, 0);
    this.metrics.fairFraction = 0;
    if (left <= lowest) return levels.map(({ lowerSeats }) => lowerSeats);
    if (left <= wanted) {
      const fraction = (left - lowest) / (wanted - lowest);
      return levels.map(({ lowerSeats }, index) => {
        const { lower } = wishes[index] as AllocationWish;
        return lowerSeats + Math.round((lower - lowerSeats) * fraction);
      });
    }
    const allocation = allocate(left, wishes);
    if (!allocation) return levels.map(({ currentSeats }) => currentSeats);
    this.metrics.fairFraction = allocation.fairFraction;
    return allocation.seats.map(Math.round);
  }
}

const noHand: readonly number[] = [];

function noteDemand(level: Level, nowMs: number): void {
  const { seconds, average, deviation, highest } = level.queues.demand.reset(nowMs);
  level.highestDemand = Math.round(highest);
  if (seconds > 0) {
    const envelope = average + deviation;
    level.smoothedDemand = Math.max(envelope, smoothing * level.smoothedDemand + (1 - smoothing) * envelope);
  }
  level.series.demand = { highest: level.highestDemand, average, deviation, smoothed: level.smoothedDemand };
}

function queuingOf({ spec }: PriorityLevelConfiguration): Queuing {
  if (spec.type === 'Exempt') return { type: 'exempt' };
  const queuing = spec.limited?.limitResponse.queuing;
  if (!queuing) return { type: 'reject' };
  return {
    type: 'queue',
    queues: queuing.queues,
    handSize: queuing.handSize,
    queueLengthMax: queuing.queueLengthLimit,
  };
}

function sharesOf({ configuration: { spec } }: Level) {
  const { exempt, limited } = spec;
  return {
    shares: limited?.nominalConcurrencyShares ?? exempt?.nominalConcurrencyShares ?? (limited ? 30 : 0),
    lendable: limited?.lendablePercent ?? exempt?.lendablePercent ?? 0,
    borrowing: limited?.borrowingLimitPercent,
  };
}

/** The server cannot work by others: validation refuses them, but they may have been stored by somebody else. */
function isSound({ metadata: { name }, spec }: PriorityLevelConfiguration): boolean {
  if ((spec.type === 'Exempt') !== (name === 'exempt')) return false;
  if ((spec.type === 'Limited') !== (spec.limited !== undefined)) return false;
  if (!spec.limited) return true;
  const { type, queuing } = spec.limited.limitResponse;
  return (type === 'Queue') === (queuing !== undefined) && (!queuing || queuing.handSize <= queuing.queues);
}

function ordered(schemas: readonly FlowSchema[]): readonly FlowSchema[] {
  const sorted = [...schemas].sort(
    (a, b) =>
      a.spec.matchingPrecedence - b.spec.matchingPrecedence ||
      ((a.metadata.name as string) < (b.metadata.name as string) ? -1 : 1),
  );
  const has = (name: string) => sorted.some(({ metadata }) => metadata.name === name);
  return [
    ...(has('exempt') ? [] : [imaginedSchema('exempt')]),
    ...sorted,
    ...(has('catch-all') ? [] : [imaginedSchema('catch-all')]),
  ];
}

function noteOf({ user, info }: Call, schema: FlowSchema, distinguisher: string): RequestNote {
  return {
    schema: schema.metadata.name as string,
    distinguisher,
    userName: user.name,
    verb: info.verb,
    path: info.path,
    namespace: info.namespace,
    name: info.name,
    apiVersion: info.group === '' ? info.version : `${info.group}/${info.version}`,
    resource: info.resource,
    subresource: info.subresource,
  };
}

export const flowControlKinds = { levels: PriorityLevelConfiguration, schemas: FlowSchema };
