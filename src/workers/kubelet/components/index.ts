import type { Component, Context } from '../component.js';
import type { ImageImporter } from '../images.js';
import type { ProbeCredentials } from '../probes.js';
import { apiserver } from './apiserver.js';
import { containerd } from './containerd.js';
import { controllerManager } from './controller-manager.js';
import { etcd } from './etcd.js';
import { kubelet } from './kubelet.js';
import { proxy } from './proxy.js';
import { scheduler } from './scheduler.js';

/** Every component of the node, what is needed before what needs it. */
export function allComponents(
  context: Context,
  credentials: ProbeCredentials,
  images: ImageImporter,
): Component[] {
  return [
    etcd(context),
    containerd(context),
    apiserver(context, credentials),
    controllerManager(context, credentials),
    scheduler(context, credentials),
    ...(context.config.kubeProxy.enabled ? [proxy(context)] : []),
    kubelet(context, images),
  ];
}
