/*
 * A plugin of the kubelet as a process of its own: `node plugin-process.ts SETTINGS`, JSON. It writes every call that it
 * gets to its output, a line each, and does what lines on its input say. Both a device plugin and a DRA driver, because
 * what they have in common is most of it.
 */
import { createInterface } from 'node:readline';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { connectPlugin } from '#kubelet/plugins/connection.ts';
import { type Method, methods, pluginCodec } from '#kubelet/plugins/messages.ts';
import { systemClock } from '#base/clock.ts';

export interface PluginSettings {
  readonly kind: 'device' | 'dra';
  /** Where it listens. */
  readonly socket: string;
  /** A device plugin: the kubelet's socket. Empty: it waits to be found. */
  readonly kubelet?: string;
  /** The resource, or the driver. */
  readonly name: string;
  readonly versions?: readonly string[];
  readonly devices?: readonly { readonly ID: string; readonly health: string; readonly node?: number }[];
  /** For each device, what a container that has it is given. */
  readonly answer?: Readonly<Record<string, unknown>>;
  readonly preferred?: readonly string[];
  readonly preStart?: boolean;
  /** A DRA driver: the CDI devices of each claim's device. */
  readonly cdi?: readonly string[];
}

export interface PluginCommand {
  readonly devices?: PluginSettings['devices'];
  readonly health?: readonly {
    readonly pool: string;
    readonly device: string;
    readonly health: 'Healthy' | 'Unhealthy';
  }[];
  /** The next calls of this method fail with these words; empty: no more. */
  readonly fail?: { readonly method: string; readonly message: string };
}

const settings = JSON.parse(process.argv[2] ?? '{}') as PluginSettings;
let { devices = [] } = settings;
let health: NonNullable<PluginCommand['health']> = [];
const failures = new Map<string, string>();
const lists = new Set<() => void>();
const says = (call: string, request: unknown) => process.stdout.write(`${JSON.stringify({ call, request })}\n`);

type Handler = (request: never) => object;

const handlers: Partial<Record<Method, Handler>> = {
  '/pluginregistration.Registration/GetInfo': () => ({
    type: settings.kind === 'dra' ? 'DRAPlugin' : 'DevicePlugin',
    name: settings.name,
    endpoint: settings.socket,
    supported_versions: settings.versions ?? [],
  }),
  '/pluginregistration.Registration/NotifyRegistrationStatus': () => ({}),
  '/v1beta1.DevicePlugin/GetDevicePluginOptions': () => options,
  '/v1beta1.DevicePlugin/GetPreferredAllocation': () => ({
    container_responses: [{ deviceIDs: settings.preferred ?? [] }],
  }),
  '/v1beta1.DevicePlugin/Allocate': ((request: { container_requests: { devices_ids: string[] }[] }) => ({
    container_responses: request.container_requests.map(({ devices_ids: ids }) => ({
      envs: { DEVICES: ids.join() },
      ...settings.answer,
    })),
  })) as Handler,
  '/v1beta1.DevicePlugin/PreStartContainer': () => ({}),
  ...Object.fromEntries(
    (['v1', 'v1beta1'] as const).flatMap(version => [
      [
        `/k8s.io.kubelet.pkg.apis.dra.${version}.DRAPlugin/NodePrepareResources`,
        ({ claims }: { claims: { uid: string }[] }) => ({
          claims: Object.fromEntries(
            claims.map(({ uid }) => [
              uid,
              {
                devices: (settings.cdi ?? []).map((id, index) => ({
                  request_names: [`request-${index}`],
                  pool_name: 'pool',
                  device_name: `device-${index}`,
                  cdi_device_ids: [id],
                })),
              },
            ]),
          ),
        }),
      ],
      [
        `/k8s.io.kubelet.pkg.apis.dra.${version}.DRAPlugin/NodeUnprepareResources`,
        ({ claims }: { claims: { uid: string }[] }) => ({
          claims: Object.fromEntries(claims.map(({ uid }) => [uid, {}])),
        }),
      ],
    ]),
  ),
};
const options = {
  pre_start_required: settings.preStart ?? false,
  get_preferred_allocation_available: settings.preferred !== undefined,
};
const streams: Partial<Record<Method, () => object>> = {
  '/v1beta1.DevicePlugin/ListAndWatch': () => ({
    devices: devices.map(({ node, ...each }) => ({
      ...each,
      ...(node !== undefined && { topology: { nodes: [{ ID: node }] } }),
    })),
  }),
  '/v1beta1.DRAResourceHealth/NodeWatchResources': () => ({
    devices: health.map(each => ({
      device: { pool_name: each.pool, device_name: each.device },
      health: each.health,
      last_updated_time: Math.floor(systemClock.now() / 1000),
    })),
  }),
};

const server = new Server();
const paths = [...Object.keys(handlers), ...Object.keys(streams)] as Method[];
for (const [, group] of Map.groupBy(paths, path => path.split('/')[1])) {
  const definition = (path: Method) => ({
    path,
    requestStream: false,
    responseStream: path in streams,
    requestSerialize: (message: object) => pluginCodec.encode(methods[path][0], message),
    requestDeserialize: (bytes: Buffer) => pluginCodec.decode(methods[path][0], bytes),
    responseSerialize: (message: object) => pluginCodec.encode(methods[path][1], message),
    responseDeserialize: (bytes: Buffer) => pluginCodec.decode(methods[path][1], bytes),
  });
  const serve = (path: Method) => {
    const name = path.split('/')[2] ?? '';
    const list = streams[path];
    if (list)
      return (call: { write(message: object): void; on(event: string, heard: () => void): void }) => {
        says(name, {});
        const tell = () => call.write(list());
        tell();
        lists.add(tell);
        call.on('cancelled', () => lists.delete(tell));
      };
    return ({ request }: { request: never }, done: (error: object | null, answer?: object) => void) => {
      says(name, request);
      const failure = failures.get(name);
      if (failure) done({ code: 2, details: failure });
      else done(null, handlers[path]?.(request));
    };
  };
  server.addService(
    Object.fromEntries(group.map(path => [path, definition(path)])),
    Object.fromEntries(group.map(path => [path, serve(path)])) as never,
  );
}
await new Promise<void>((resolve, reject) =>
  server.bindAsync(`unix:${settings.socket}`, ServerCredentials.createInsecure(), error =>
    error ? reject(error) : resolve(),
  ),
);
if (settings.kubelet) {
  using kubelet = await connectPlugin(settings.kubelet, systemClock);
  const endpoint = settings.socket.split('/').at(-1) ?? '';
  const request = { version: 'v1beta1', endpoint, resource_name: settings.name, options };
  const refusal = await kubelet.call('/v1beta1.Registration/Register', request, 5_000).then(
    () => '',
    (error: Error) => error.message,
  );
  says('Registered', refusal);
}
createInterface({ input: process.stdin }).on('line', line => {
  const command = JSON.parse(line) as PluginCommand;
  if (command.fail) {
    if (command.fail.message === '') failures.delete(command.fail.method);
    else failures.set(command.fail.method, command.fail.message);
  }
  devices = command.devices ?? devices;
  health = command.health ?? health;
  if (command.devices || command.health) lists.forEach(tell => tell());
  says('Done', command);
});
process.stdin.on('end', () => process.exit(0));
says('Listening', settings.socket);
