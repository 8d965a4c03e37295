import t from 'tap';
import { kubePrograms } from '../../src/platform/components.js';
import { parseConfig } from '../../src/platform/config.js';
import { resolveComponents } from '../../src/provision/components.js';
import { policyOf } from '../unit/kubelet/context.js';
import { never } from './component-process.js';
import { run } from './support/hamlet.js';

const isProgram = (word: string): boolean => kubePrograms.some((program) => program === word);

void t.test('the provided Kubernetes knows every flag that it gets', async (t) => {
  const components = await resolveComponents(parseConfig({}, 'test'), never);
  const policy = policyOf({ minor: components.kubernetesVersion.minor, components });
  const checked: string[] = [];
  for (const component of Object.values(policy)) {
    const [file, program = '', ...args] = component.command().argv;
    if (!isProgram(program)) continue;
    // Flags are read in order, and one that is unknown ends the program before it has done anything.
    const { code, stderr } = await run(file, [program, ...args, '--hamlet-test']);
    t.not(code, 0);
    t.match(stderr, /unknown flag: --hamlet-test/, `${component.name} gets as far as the last one`);
    checked.push(program);
  }
  t.same(checked.sort(), kubePrograms.filter((program) => program !== 'kubectl').sort());
});
