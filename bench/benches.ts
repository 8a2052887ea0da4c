import { api } from './api.ts';
import { apply } from './apply.ts';
import { cel } from './cel.ts';
import { controllers } from './controllers.ts';
import { crds } from './crds.ts';
import { curves } from './curves.ts';
import { dns } from './dns.ts';
import { growth } from './growth.ts';
import { hollow } from './hollow.ts';
import { https } from './https.ts';
import { idle } from './idle.ts';
import { list } from './list.ts';
import { network } from './network.ts';
import { objects } from './objects.ts';
import { pods } from './pods.ts';
import { scheduler } from './scheduler.ts';
import { schedulerShapes } from './scheduler-shapes.ts';
import { services } from './services.ts';
import { startup } from './startup.ts';
import { store } from './store.ts';
import { watch } from './watch.ts';

export interface Bench {
  readonly name: string;
  readonly measures: string;
  /** All parts, or those that are named. */
  run(parts: readonly string[]): Promise<void>;
}

/** Quick ones first. */
export const benches: readonly Bench[] = [
  startup,
  cel,
  dns,
  pods,
  idle,
  https,
  services,
  network,
  store,
  api,
  apply,
  crds,
  scheduler,
  schedulerShapes,
  watch,
  objects,
  list,
  controllers,
  growth,
  hollow,
  // From what the others have kept.
  curves,
];
