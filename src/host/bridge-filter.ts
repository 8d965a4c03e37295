import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const setting = '/proc/sys/net/bridge/bridge-nf-call-iptables';

/** Loading a module takes milliseconds; a machine on which it hangs is to start all the same. */
const modprobeTimeoutMs = 5_000;

/**
 * Loads the module by which the traffic between pods on one bridge passes iptables, so that services reach pods beside
 * their callers. Nothing else loads it. On a kernel or in a container where that cannot be, kube-proxy goes without.
 */
export function loadBridgeFilter(): void {
  if (existsSync(setting)) return;
  spawnSync('modprobe', ['br_netfilter'], { stdio: 'ignore', timeout: modprobeTimeoutMs });
}

/**
 * Turns it on, as kube-proxy would a moment later: what it is told should not depend on whether it ran before.
 * To be called when the setting has been recorded.
 */
export function turnBridgeFilterOn(): void {
  try {
    if (readFileSync(setting, 'utf8').trim() === '0') writeFileSync(setting, '1');
  } catch {
    // Not there, or not ours to set.
  }
}
