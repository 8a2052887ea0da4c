/** What `windlass` exports as a library. */
export { startCluster } from './start-cluster.ts';
export { kinds } from '#api/kinds.ts';
export { ManualClock } from '#base/clock.ts';
export { ApiError } from '#api/machinery/errors.ts';
