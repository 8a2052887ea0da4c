import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkMessages,
  checkNonNegative,
  checkOneOf,
  checkPort,
  checkPortNumber,
  checkRequiredOneOf,
} from '../../machinery/checks.ts';
import { isConfigMapKey, isHTTPHeaderName, isPortName, isRelaxedEnvVarName } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import { checkObjectField, checkResourceField } from './downward-api-validation.ts';
import { validateContainerResources } from './pod-resources.ts';
import type {
  Container,
  ContainerPort,
  EnvFromSource,
  EnvVar,
  EphemeralContainer,
  Lifecycle,
  LifecycleHandler,
  PodSpec,
  Probe,
  Volume,
  VolumeDevice,
  VolumeMount,
} from './pod-spec.ts';
import { Lifecycle as LifecycleSchema } from './pod-spec.ts';
import { validateSecurityContext } from './security-context-validation.ts';
import { checkDescendingPath, checkNoBacksteps } from './volume-validation.ts';

/** What a container's validation looks up in its pod. */
export interface ContainerContext {
  readonly spec: PodSpec;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly claimNames: ReadonlySet<string>;
}

type AnyContainer = Omit<Container, 'resources'> & Partial<Pick<Container, 'resources'>>;

/** The containers proper. `report` stands at `containers`. */
export function validateContainers(context: ContainerContext, report: Report): void {
  const containers = context.spec.containers ?? [];
  if (containers.length === 0) {
    report.required();
    return;
  }
  const names = new Set<string>();
  for (const [index, container] of containers.entries()) {
    const at = report.index(index);
    validateContainer(container, context, at);
    if (names.has(container.name)) at.at('name').duplicate(container.name);
    names.add(container.name);
    validateLifecycleAndProbes(container, context.spec, at);
    validateRestartPolicy(container, at);
  }
  checkHostPorts(containers, report);
}

/** `report` stands at `initContainers`. */
export function validateInitContainers(context: ContainerContext, report: Report): void {
  const names = new Set((context.spec.containers ?? []).map(container => container.name));
  for (const [index, container] of (context.spec.initContainers ?? []).entries()) {
    const at = report.index(index);
    validateContainer(container, context, at);
    const isSidecar = container.restartPolicy === 'Always';
    if (container.restartPolicy === undefined) checkRestartPolicyGiven(container, at);
    else validateRestartPolicy(container, at);
    if (names.has(container.name)) at.at('name').duplicate(container.name);
    else if (container.name) names.add(container.name);
    checkHostPorts([container], report);
    if (isSidecar) validateLifecycleAndProbes(container, context.spec, at);
    else
      for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const)
        if (container[name]) at.at(name).forbidden('may not be set for init containers without restartPolicy=Always');
  }
}

/** `report` stands at `ephemeralContainers`. */
export function validateEphemeralContainers(context: ContainerContext, report: Report): void {
  const { spec } = context;
  const others = new Set([...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(each => each.name));
  const names = new Set(others);
  for (const [index, container] of (spec.ephemeralContainers ?? []).entries()) {
    const at = report.index(index);
    validateContainer(container, context, at);
    checkImagePadding(container, at);
    if (names.has(container.name)) at.at('name').duplicate(container.name);
    names.add(container.name);
    const target = container.targetContainerName;
    if (target && !others.has(target)) at.at('targetContainerName').notFound(target);
    for (const name of notForEphemeral) {
      const value = name === 'resources' ? Object.keys(container.resources ?? {})[0] : container[name];
      if (value !== undefined) at.at(name).forbidden('cannot be set for an Ephemeral Container');
    }
    for (const [position, mount] of (container.volumeMounts ?? []).entries())
      for (const name of ['subPath', 'subPathExpr'] as const)
        if (mount[name])
          at.at('volumeMounts').index(position).at(name).forbidden('cannot be set for an Ephemeral Container');
  }
}

/** Only pods are held to this, not templates. */
export function checkImagePadding(container: { readonly image?: string | undefined }, report: Report): void {
  const { image = '' } = container;
  if (image !== image.trim()) report.at('image').invalid(image, 'must not have leading or trailing whitespace');
}

/** Calls back for init containers, containers and ephemeral containers, in upstream's order. */
export function visitContainers(
  spec: PodSpec,
  report: Report,
  visit: (container: Container | EphemeralContainer, report: Report) => void,
): void {
  for (const name of ['initContainers', 'containers', 'ephemeralContainers'] as const)
    for (const [index, container] of (spec[name] ?? []).entries()) visit(container, report.at(name).index(index));
}

const notForEphemeral = [
  'ports',
  'resources',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
  'resizePolicy',
  'restartPolicy',
  'restartPolicyRules',
] as const;

function validateContainer(
  container: AnyContainer | EphemeralContainer,
  context: ContainerContext,
  report: Report,
): void {
  if (!container.name) report.at('name').required();
  else checkDnsLabel(container.name, report.at('name'));
  if (!container.image) report.at('image').required();
  checkRequiredOneOf(
    container.terminationMessagePolicy,
    ['File', 'FallbackToLogsOnError'],
    report.at('terminationMessagePolicy'),
  );
  validatePorts(container.ports ?? [], report.at('ports'));
  validateEnv(container.env ?? [], report.at('env'));
  validateEnvFrom(container.envFrom ?? [], report.at('envFrom'));
  validateVolumeMounts(container, context, report.at('volumeMounts'));
  validateVolumeDevices(container, context, report.at('volumeDevices'));
  checkRequiredOneOf(container.imagePullPolicy, ['Always', 'IfNotPresent', 'Never'], report.at('imagePullPolicy'));
  validateContainerResources(container.resources ?? {}, context.claimNames, report.at('resources'));
  validateResizePolicy(container.resizePolicy ?? [], context.spec, report.at('resizePolicy'));
  validateSecurityContext(container.securityContext, context.spec, report.at('securityContext'));
}

function validatePorts(ports: readonly ContainerPort[], report: Report): void {
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = report.index(index);
    if (port.name) {
      const messages = isPortName(port.name);
      if (messages.length > 0) checkMessages(messages, port.name, at.at('name'));
      else if (names.has(port.name)) at.at('name').duplicate(port.name);
      else names.add(port.name);
    }
    if (!port.containerPort) at.at('containerPort').required();
    else checkPortNumber(port.containerPort, at.at('containerPort'));
    if (port.hostPort) checkPortNumber(port.hostPort, at.at('hostPort'));
    checkRequiredOneOf(port.protocol, ['SCTP', 'TCP', 'UDP'], at.at('protocol'));
  }
}

function checkHostPorts(containers: readonly Container[], report: Report): void {
  const taken = new Set<string>();
  for (const [index, container] of containers.entries()) {
    for (const [position, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue;
      const key = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`;
      if (taken.has(key)) report.index(index).at('ports').index(position).at('hostPort').duplicate(key);
      taken.add(key);
    }
  }
}

function validateEnv(variables: readonly EnvVar[], report: Report): void {
  for (const [index, variable] of variables.entries()) {
    const at = report.index(index);
    if (!variable.name) at.at('name').required();
    else checkMessages(isRelaxedEnvVarName(variable.name), variable.name, at.at('name'));
    validateValueFrom(variable, at.at('valueFrom'));
  }
}

function validateValueFrom({ value, valueFrom }: EnvVar, report: Report): void {
  if (!valueFrom) return;
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = valueFrom;
  if (fieldRef) checkObjectField(fieldRef, 'env', report.at('fieldRef'));
  if (resourceFieldRef) checkResourceField(resourceFieldRef, 'env', report.at('resourceFieldRef'));
  if (configMapKeyRef) checkKeySelector(configMapKeyRef, report.at('configMapKeyRef'));
  if (secretKeyRef) checkKeySelector(secretKeyRef, report.at('secretKeyRef'));
  if (fileKeyRef) {
    const at = report.at('fileKeyRef');
    if (!fileKeyRef.key) at.at('key').required();
    else checkMessages(isRelaxedEnvVarName(fileKeyRef.key), fileKeyRef.key, at.at('key'));
    if (!fileKeyRef.volumeName) at.at('volumeName').required();
    else checkDnsLabel(fileKeyRef.volumeName, at.at('volumeName'));
    if (!fileKeyRef.path) at.at('path').required();
    else checkNoBacksteps(fileKeyRef.path, at.at('path'));
  }
  const sources = Object.values(valueFrom).filter(source => source !== undefined).length;
  if (sources === 0)
    report.invalid(
      '',
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
    );
  else if (value) report.invalid('', 'may not be specified when `value` is not empty');
  else if (sources > 1) report.invalid('', 'may not have more than one field specified at a time');
}

function checkKeySelector(selector: { readonly name?: string; readonly key: string }, report: Report): void {
  checkDnsSubdomain(selector.name ?? '', report.at('name'));
  if (!selector.key) report.at('key').required();
  else checkMessages(isConfigMapKey(selector.key), selector.key, report.at('key'));
}

function validateEnvFrom(sources: readonly EnvFromSource[], report: Report): void {
  for (const [index, source] of sources.entries()) {
    const at = report.index(index);
    if (source.prefix) checkMessages(isRelaxedEnvVarName(source.prefix), source.prefix, at.at('prefix'));
    for (const name of ['configMapRef', 'secretRef'] as const) {
      const reference = source[name];
      if (!reference) continue;
      if (!reference.name) at.at(name, 'name').required();
      else checkDnsSubdomain(reference.name, at.at(name, 'name'));
    }
    // Upstream reports these two at the list.
    if (!source.configMapRef && !source.secretRef)
      report.invalid('', 'must specify one of: `configMapRef` or `secretRef`');
    else if (source.configMapRef && source.secretRef)
      report.invalid('', 'may not have more than one field specified at a time');
  }
}

function validateVolumeMounts(
  container: AnyContainer | EphemeralContainer,
  context: ContainerContext,
  report: Report,
): void {
  const devices = container.volumeDevices ?? [];
  const paths = new Set<string>();
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const at = report.index(index);
    if (!mount.name) at.at('name').required();
    if (!context.volumes.has(mount.name)) at.at('name').notFound(mount.name ?? '');
    if (!mount.mountPath) at.at('mountPath').required();
    if (paths.has(mount.mountPath)) at.at('mountPath').invalid(mount.mountPath, 'must be unique');
    paths.add(mount.mountPath);
    if (devices.some(device => device.name === mount.name))
      at.at('name').invalid(mount.name, 'must not already exist in volumeDevices');
    if (devices.some(device => device.devicePath === mount.mountPath))
      at.at('mountPath').invalid(mount.mountPath, 'must not already exist as a path in volumeDevices');
    // From here on upstream reports at the list.
    if (mount.subPath) checkDescendingPath(mount.subPath, report.at('subPath'));
    if (mount.subPathExpr) {
      if (mount.subPath)
        at.at('subPathExpr').invalid(mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive');
      checkDescendingPath(mount.subPathExpr, report.at('subPathExpr'));
    }
    validatePropagation(mount, container, report.at('mountPropagation'));
    validateRecursiveReadOnly(mount, report.at('recursiveReadOnly'));
  }
}

function validatePropagation(mount: VolumeMount, container: AnyContainer | EphemeralContainer, report: Report): void {
  const { mountPropagation } = mount;
  if (mountPropagation === undefined) return;
  checkOneOf(mountPropagation, ['Bidirectional', 'HostToContainer', 'None'], report);
  if (mountPropagation === 'Bidirectional' && !container.securityContext?.privileged)
    report.forbidden('Bidirectional mount propagation is available only to privileged containers');
}

function validateRecursiveReadOnly(mount: VolumeMount, report: Report): void {
  const { recursiveReadOnly, mountPropagation } = mount;
  if (recursiveReadOnly === undefined || recursiveReadOnly === 'Disabled') return;
  if (recursiveReadOnly !== 'Enabled' && recursiveReadOnly !== 'IfPossible') {
    report.notSupported(recursiveReadOnly, ['Disabled', 'Enabled', 'IfPossible']);
    return;
  }
  if (!mount.readOnly) report.forbidden('may only be specified when readOnly is true');
  if (mountPropagation !== undefined && mountPropagation !== 'None')
    report.forbidden('may only be specified when mountPropagation is None or not specified');
}

function validateVolumeDevices(
  container: AnyContainer | EphemeralContainer,
  context: ContainerContext,
  report: Report,
): void {
  const mounts = container.volumeMounts ?? [];
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [index, device] of (container.volumeDevices ?? []).entries())
    validateVolumeDevice(device, context.volumes.get(device.name), mounts, names, paths, report.index(index));
}

function validateVolumeDevice(
  { name, devicePath }: VolumeDevice,
  volume: Volume | undefined,
  mounts: readonly VolumeMount[],
  names: Set<string>,
  paths: Set<string>,
  report: Report,
): void {
  if (!name) report.at('name').required();
  if (names.has(name)) report.at('name').invalid(name, 'must be unique');
  if (volume && !volume.persistentVolumeClaim && !volume.ephemeral)
    report
      .at('name')
      .invalid(name, 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode');
  if (!volume) report.at('name').notFound(name ?? '');
  if (!devicePath) report.at('devicePath').required();
  if (paths.has(devicePath)) report.at('devicePath').invalid(devicePath, 'must be unique');
  if (devicePath?.split('/').includes('..'))
    report.at('devicePath').invalid(devicePath, "can not contain backsteps ('..')");
  else paths.add(devicePath);
  if (mounts.some(mount => mount.name === name))
    report.at('name').invalid(name, 'must not already exist in volumeMounts');
  if (mounts.some(mount => mount.mountPath === devicePath))
    report.at('devicePath').invalid(devicePath, 'must not already exist as a path in volumeMounts');
  if (name) names.add(name);
}

function validateResizePolicy(policies: NonNullable<Container['resizePolicy']>, spec: PodSpec, report: Report): void {
  const seen = new Set<string>();
  for (const [index, policy] of policies.entries()) {
    if (seen.has(policy.resourceName)) report.index(index).duplicate(policy.resourceName);
    seen.add(policy.resourceName);
    checkRequiredOneOf(policy.resourceName, ['cpu', 'memory'], report);
    checkRequiredOneOf(policy.restartPolicy, ['NotRequired', 'RestartContainer'], report);
    if (spec.restartPolicy === 'Never' && policy.restartPolicy !== 'NotRequired')
      report.invalid(policy.restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
  }
}

function checkRestartPolicyGiven({ restartPolicyRules = [] }: Container, report: Report): void {
  if (restartPolicyRules.length > 0)
    report.at('restartPolicy').required('must specify restartPolicy when restart rules are used');
}

function validateRestartPolicy(container: Container, report: Report): void {
  const { restartPolicy, restartPolicyRules = [] } = container;
  if (restartPolicy === undefined) checkRestartPolicyGiven(container, report);
  else checkOneOf(restartPolicy, ['Always', 'Never', 'OnFailure'], report.at('restartPolicy'));
  if (restartPolicyRules.length > 20) report.at('restartPolicyRules').tooMany(restartPolicyRules.length, 20);
  for (const [index, rule] of restartPolicyRules.entries()) {
    const at = report.at('restartPolicyRules').index(index);
    checkOneOf(rule.action ?? '', ['Restart', 'RestartAllContainers'], at.at('action'));
    if (!rule.exitCodes) {
      at.at('exitCodes').required('must be specified');
      continue;
    }
    checkOneOf(rule.exitCodes.operator ?? '', ['In', 'NotIn'], at.at('exitCodes', 'operator'));
    const { length } = rule.exitCodes.values ?? [];
    if (length > 255) at.at('exitCodes', 'values').tooMany(length, 255);
  }
}

function validateLifecycleAndProbes(container: Container, spec: PodSpec, report: Report): void {
  if (container.lifecycle) validateLifecycle(container.lifecycle, spec, report.at('lifecycle'));
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = container[name];
    if (!probe) continue;
    const at = report.at(name);
    validateProbe(probe, spec, at);
    if (name !== 'readinessProbe') {
      if (probe.successThreshold !== 1) at.at('successThreshold').invalid(probe.successThreshold, 'must be 1');
    } else if (probe.terminationGracePeriodSeconds !== undefined)
      at.at('terminationGracePeriodSeconds').invalid(
        probe.terminationGracePeriodSeconds,
        'must not be set for readinessProbes',
      );
  }
}

function validateProbe(probe: Probe, spec: PodSpec, report: Report): void {
  validateHandler(probe, spec, report);
  for (const name of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const)
    checkNonNegative(probe[name], report.at(name));
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0)
    report.at('terminationGracePeriodSeconds').invalid(grace, 'must be greater than 0');
}

function validateLifecycle(lifecycle: Lifecycle, spec: PodSpec, report: Report): void {
  if (lifecycle.postStart) validateHandler(lifecycle.postStart, spec, report.at('postStart'));
  if (lifecycle.preStop) validateHandler(lifecycle.preStop, spec, report.at('preStop'));
  if (lifecycle.stopSignal === undefined) return;
  const at = report.at('stopSignal');
  if (!spec.os) at.forbidden('may not be set for containers with empty `spec.os.name`');
  else if (spec.os.name === 'windows') checkOneOf(lifecycle.stopSignal, ['SIGKILL', 'SIGTERM'], at);
  else if (spec.os.name === 'linux') checkOneOf(lifecycle.stopSignal, LifecycleSchema.fields.stopSignal.enum ?? [], at);
}

type Handler = LifecycleHandler & Pick<Probe, 'grpc'>;

function validateHandler(handler: Handler, spec: PodSpec, report: Report): void {
  const given = (['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'] as const).filter(name => handler[name]);
  if (given.length === 0) report.required('must specify a handler type');
  for (const [position, name] of given.entries()) {
    if (position > 0) report.at(name).forbidden('may not specify more than 1 handler type');
    else validateOneHandler(handler, name, spec, report.at(name));
  }
}

function validateOneHandler(handler: Handler, name: keyof Handler, spec: PodSpec, report: Report): void {
  switch (name) {
    case 'exec':
      if ((handler.exec?.command ?? []).length === 0) report.at('command').required();
      return;
    case 'httpGet': {
      const { path, port, scheme, httpHeaders = [] } = handler.httpGet ?? { port: 0 };
      if (!path) report.at('path').required();
      checkPort(port, report.at('port'));
      checkOneOf(scheme ?? '', ['HTTP', 'HTTPS'], report.at('scheme'));
      for (const header of httpHeaders)
        checkMessages(isHTTPHeaderName(header.name ?? ''), header.name ?? '', report.at('httpHeaders'));
      return;
    }
    case 'tcpSocket':
      checkPort(handler.tcpSocket?.port, report.at('port'));
      return;
    case 'grpc':
      checkPortNumber(handler.grpc?.port, report.at('port'));
      return;
    case 'sleep': {
      const seconds = handler.sleep?.seconds ?? 0;
      const grace = spec.terminationGracePeriodSeconds;
      if (grace !== undefined && (seconds < 0 || seconds > grace))
        report.invalid(seconds, `must be non-negative and less than terminationGracePeriodSeconds (${grace})`);
      return;
    }
    default:
      name satisfies never;
  }
}
