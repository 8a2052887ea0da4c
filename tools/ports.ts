import { createServer } from 'node:net';

/** Below the ports that the kernel hands out for connections (one of those could be gone before it is used), and a
 * cluster's kubelets, 3,807 above its API server, stay below the node ports. */
const portsFrom = 20_000;
const portsTo = 26_000;

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  while (true) {
    const port = portsFrom + Math.floor(Math.random() * (portsTo - portsFrom));
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, () => probe.close(() => resolve(true)));
  });
}
