import { readFileSync } from 'node:fs';
import { decodeYaml } from '#api/machinery/yaml.ts';
import {
  defaultConfiguration,
  schedulerConfigurationFrom,
  type SchedulerConfiguration,
} from '#scheduler/configuration.ts';
import type { KubeSchedulerArguments } from './flags/kube-scheduler.ts';

/** What the flags of the scheduler say. Throws a sentence about what is wrong with its file. */
export function schedulerConfigurationOf(given: KubeSchedulerArguments): SchedulerConfiguration {
  const { config, plugin } = given;
  if (config === undefined) return defaultConfiguration;
  try {
    return schedulerConfigurationFrom(decodeYaml(readFileSync(config, 'utf8')), {
      hasUserPlugins: plugin !== undefined,
    });
  } catch (error) {
    throw new Error(`cannot read the scheduler's configuration ${config}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
