/** Offers the firewall of its namespace to a test, with the number of programs that it ran. */
import { type CommandRunner, createCommandRunner } from '../../src/firewall/command-runner.ts';
import { createIptablesFirewall } from '../../src/firewall/iptables-firewall.ts';
import { readRulesetGeneration } from '../../src/firewall/ruleset-generation.ts';
import { silentLogger } from '../../src/log/log.ts';
import { loadNative } from '../../src/native/load.ts';
import { serve } from '../rtnetlink/wire.ts';
import { prefix } from '../support/network.ts';

const native = loadNative();
const backend = 'nft';
const execute = createCommandRunner({ timeoutMs: 30_000, maxOutputBytes: 1 << 20, env: process.env });
let programs = 0;
const run: CommandRunner = (command, args, input) => {
  programs++;
  return execute(command.replace('iptables', `iptables-${backend}`), args, input);
};

const firewall = createIptablesFirewall(
  {
    network: prefix('10.5.0.0/16'),
    subnet: prefix('10.5.21.0/24'),
    forwardRules: true,
    ipMasq: true,
    randomFully: true,
  },
  { run, readGeneration: () => readRulesetGeneration(native), logger: silentLogger },
);

serve({
  generation: () => readRulesetGeneration(native) ?? null,
  install: () => firewall.install(),
  /** @returns how much was mended, and by how many programs. */
  async resync() {
    programs = 0;
    const found = await firewall.resync();
    return { mended: found.length, programs };
  },
});
