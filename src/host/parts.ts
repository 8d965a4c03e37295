import { allConditionNames, componentNames, workerNames } from '../lib/names.js';
import type { Config } from '../platform/config.js';

/** What there is to say of a node with this configuration: one that lets in no other machines has no door for them. */
export function conditionsOf({ debug }: Config): readonly string[] {
  const isOpen = debug.enabled && debug.remote !== undefined;
  return allConditionNames.filter((name) => name !== 'RemoteDebugReady' || isOpen);
}

/** The dotted names of all that is kept running with this configuration. */
export function membersOf({ kubeProxy, debug }: Config): string[] {
  const threads = workerNames.filter((name) => name !== 'debug' || debug.enabled);
  return [
    ...componentNames.filter((name) => name !== 'kube.proxy' || kubeProxy.enabled),
    ...threads.map((name) => `hamlet.${name}`),
  ];
}
