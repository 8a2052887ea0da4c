import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { kubernetesVersion } from '#api/machinery/version.ts';

/** The version of this program, from package.json. */
export function programVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

export async function version(): Promise<number> {
  process.stdout.write(
    `windlass v${programVersion()}\nKubernetes ${kubernetesVersion.gitVersion}\nNode.js ${process.version}\n`,
  );
  return 0;
}
