#!/usr/bin/env node
import { runProvision } from './cli.js';

process.exitCode = await runProvision(process.argv.slice(2));
