/**
 * @file Writes schema/cusprun.schema.json, the JSON schema of the YAML file, from the command's table of options. The
 * table belongs to the command and to neither entry point of the package, hence the imports from dist.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { COMMANDS } from "../dist/cli/commands.js";
import { configSchema } from "../dist/cli/option-values.js";

const folder = new URL("../schema/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("cusprun.schema.json", folder), `${JSON.stringify(configSchema(COMMANDS.prune.options), null, 2)}\n`);
