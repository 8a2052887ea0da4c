/** Windlass as a library: a cluster inside a test. */
import type * as library from './cluster/library.ts';
import { loadProgram } from './cluster/compiled.ts';

const loaded: typeof library = await loadProgram('library', () => import('./cluster/library.ts'));

export const { startCluster, kinds, ManualClock, ApiError } = loaded;
export type ManualClock = library.ManualClock;
export type ApiError = library.ApiError;
export type { Cluster, ClusterOptions } from './cluster/start-cluster.ts';
export type { Client } from './client/client.ts';
