import { api } from './api.ts';
import { cel } from './cel.ts';
import { dns } from './dns.ts';
import { idle } from './idle.ts';
import { list } from './list.ts';
import { pods } from './pods.ts';
import { scheduler } from './scheduler.ts';
import { schedulerShapes } from './scheduler-shapes.ts';
import { startup } from './startup.ts';
import { watch } from './watch.ts';

export interface Bench {
  readonly name: string;
  readonly measures: string;
  /** All parts, or those that are named. */
  run(parts: readonly string[]): Promise<void>;
}

/** Quick ones first. */
export const benches: readonly Bench[] = [startup, cel, dns, pods, idle, api, scheduler, schedulerShapes, watch, list];
