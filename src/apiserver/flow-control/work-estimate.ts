import type { RequestInfo } from '../request-info.ts';
import { isTrue } from '../query.ts';

/** How much of a level a request takes. */
export interface WorkEstimate {
  readonly initialSeats: number;
  /** Seats that stay taken for a while when the answer is out: the watchers of what was written are being told. */
  readonly finalSeats: number;
  readonly finalMs: number;
}

export interface EstimateSources {
  /** The number of a resource's objects and their mean size; undefined for what is not served here. */
  sizeOf(info: RequestInfo): { readonly count: number; readonly meanBytes: number } | undefined;
  watchersOf(info: RequestInfo): number;
}

const bytesPerSeat = 100_000;
/** Lists are written from cached pieces: more than this is never in memory for their sake (upstream's figure). */
const listBytesMax = 1_000_000;
const listSeatsMax = 100;
const writeSeatsMax = 10;
const watchersPerSeat = 10;
/**
 * What telling one event to ten watchers takes. Upstream guesses 5 ms; here an event is encoded once for all of them, and a
 * delivery is a write of bytes that are there (5 to 9 µs measured).
 */
const eventMs = 0.1;
/** A timer for less costs more than what it would hold back. */
const finalMsMin = 1;

const one: WorkEstimate = { initialSeats: 1, finalSeats: 0, finalMs: 0 };

/** `seatsMax` is the level's: a request never takes most of a small level. */
export function estimateWork(
  info: RequestInfo,
  query: URLSearchParams,
  seatsMax: number,
  sources: EstimateSources,
): WorkEstimate {
  switch (info.verb) {
    case 'list':
      return listWork(info, query, seatsMax, sources);
    case 'watch':
      return sendsState(query) ? listWork(info, query, seatsMax, sources) : one;
    case 'create':
    case 'update':
    case 'patch':
    case 'delete':
      return writeWork(info, seatsMax, sources);
    default:
      return one;
  }
}

function sendsState(query: URLSearchParams): boolean {
  const version = query.get('resourceVersion');
  return version === null || version === '' || version === '0' || isTrue(query.get('sendInitialEvents') ?? 'false');
}

function listWork(
  info: RequestInfo,
  query: URLSearchParams,
  seatsMax: number,
  { sizeOf }: EstimateSources,
): WorkEstimate {
  const size = sizeOf(info);
  if (!size || info.name !== '') return one;
  const limit = Number(query.get('limit') ?? 0);
  const count = limit > 0 ? Math.min(limit, size.count) : size.count;
  const seats = Math.ceil(Math.min(count * size.meanBytes, listBytesMax) / bytesPerSeat);
  if (seats <= 1) return one;
  return { initialSeats: Math.min(seats, listSeatsMax, seatsMax), finalSeats: 0, finalMs: 0 };
}

function writeWork(info: RequestInfo, seatsMax: number, { watchersOf }: EstimateSources): WorkEstimate {
  const watchers = watchersOf(info);
  if (watchers < watchersPerSeat) return one;
  const wanted = Math.ceil(watchers / watchersPerSeat);
  const finalSeats = Math.min(wanted, writeSeatsMax, seatsMax);
  const finalMs = (wanted * eventMs) / finalSeats;
  return finalMs < finalMsMin ? one : { initialSeats: 1, finalSeats, finalMs };
}
