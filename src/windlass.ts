/** Windlass as a library: a cluster inside a test. */
export { startCluster, type Cluster, type ClusterOptions } from './cluster/start-cluster.ts';
export { kinds } from './api/kinds.ts';
export { ManualClock } from './base/clock.ts';
export { ApiError } from './api/machinery/errors.ts';
export type { Client } from './client/client.ts';
