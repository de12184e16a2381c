/**
 * @file The two entry points of the package: the names of the stable core, the examples in its docstrings, and the
 * imports of benchmarks and examples.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

/*
 * Semantic versioning applies to these names: whoever changes a list decides on the version too (see src/index.ts).
 */

/** Functions of the stable core. */
const FUNCTIONS = `
  applyPlan compareMethods describeModel estimatePrune evaluateModel exportModel openCheckpoint openScores presetNames
  pruneModel readPlan renderComparison renderReport resolveModel scoreModel selectFromScores selectUnits verifyExpert
  writePlan
`;

/** The error class, and lists of the values that options and results have. */
const VALUES = `
  ALLOCATIONS CusprunError DEVICES DIMENSIONS ERROR_CODES EXIT_CODES EXPERT_FORMATS EXPORT_FORMATS EXPORT_TYPES
  FIGURE_NAMES GGUF_FILE_TYPES LAYOUTS MATRIX_KINDS METHOD_NAMES ONNX_TYPES UNIT_KINDS
`;

/** Types of their parameters and results. */
const TYPES = `
  Allocation AppliedPlan ApplyPlanOptions BlockRole CatalogOptions Checkpoint CompareOptions Comparison
  ComparisonReport ComparisonSettings CorpusOptions CorpusSpecs CutKind CutTrial DTypeDescription Device
  Difference Dimension DimensionReport ErrorClass ErrorCode ErrorParts EvaluateOptions EvaluationReport
  ExpertFormat ExpertPart ExportFormat ExportOptions ExportType ExportedModel FamilyName Figure FigureName
  FloatDType GgmlQuantType GgufArray GgufFileType GgufMetadata GgufOrigin GgufStorage GgufValue Granularity
  Interval JobOptions LayerCut LayerPlan LayerSizes LayerType Layout LeftOutTensors MapChange MatrixKind MeasuredTrial
  MemoryPlan MemoryReport MethodComparison MethodName MethodRun MethodVariant ModelConfig ModelDescription
  ModelExtras ModelIdentity OnnxType PartDescription PerplexityFigure PlannedCut ProgressEvent PruneEstimate PruneOptions
  PrunePlan PruneReport RelevanceKind RelevanceScores RemovedFromLayer RemovedTokens RemovedUnits RepairSummary
  ResolveOptions RopeConfig RopeScaling RowRange RowReader RunProgress ScoreModelOptions ScoredDocument ScoredModel
  SelectFromScoresOptions SelectedPlan SelectionChoice SelectionOptions SourceReport StageTime StoredDType TaskResult
  TensorInfo TokenRelevance TokenizerFiles UnitKind UnitReport Verification VerificationReport VerificationStatus
  VerifyExpertOptions VocabularyChoice VocabularyCut VocabularyRelevance VocabularyReport WriteOptions
  WrittenGgufFile WrittenGgufPart WrittenOnnxFolder WrittenOnnxPart WrittenReport WrittenWeights
`;

/** With slashes on every system, as TypeScript writes paths. */
const ROOT = fileURLToPath(new URL("..", import.meta.url)).replaceAll("\\", "/");
const ENTRY_POINTS = { cusprun: `${ROOT}src/index.ts`, "cusprun/internals": `${ROOT}src/internals.ts` };

/** Functions and classes of the core, which have an example each. */
const CALLABLE = ts.SymbolFlags.Function | ts.SymbolFlags.Class;

const namesOf = (list: string): string[] => list.trim().split(/\s+/);

const options: ts.CompilerOptions = {
  ...readCompilerOptions(),
  noUnusedLocals: false,
  paths: Object.fromEntries(Object.entries(ENTRY_POINTS).map(([name, path]) => [name, [path]])),
};
const entryProgram = ts.createProgram(Object.values(ENTRY_POINTS), options);
const core = exportsOf("cusprun");
const internals = exportsOf("cusprun/internals");

function readCompilerOptions(): ts.CompilerOptions {
  const path = `${ROOT}tsconfig.json`;
  const { config } = ts.readConfigFile(path, ts.sys.readFile) as { config: unknown };
  return ts.parseJsonConfigFileContent({ ...(config as object), include: [] }, ts.sys, ROOT, undefined, path).options;
}

/** What an entry point exports, by name; re-exports resolved. */
function exportsOf(entry: keyof typeof ENTRY_POINTS): ReadonlyMap<string, ts.Symbol> {
  const checker = entryProgram.getTypeChecker();
  const module = checker.getSymbolAtLocation(entryProgram.getSourceFile(ENTRY_POINTS[entry])!)!;
  const resolved = (symbol: ts.Symbol): ts.Symbol =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return new Map(checker.getExportsOfModule(module).map((symbol) => [symbol.name, resolved(symbol)]));
}

/** Names of the exports that have a flag, sorted. */
function namesWith(symbols: ReadonlyMap<string, ts.Symbol>, wanted: (flags: ts.SymbolFlags) => boolean): string[] {
  return [...symbols]
    .filter(([, { flags }]) => wanted(flags))
    .map(([name]) => name)
    .toSorted();
}

/** The code of a symbol's `@example` blocks. */
function examplesOf(symbol: ts.Symbol): string[] {
  const tags = symbol.getJsDocTags(entryProgram.getTypeChecker()).filter(({ name }) => name === "example");
  return tags.map(({ text }) => {
    const [, code] = /^```ts\n([\s\S]*)\n```$/.exec(ts.displayPartsToString(text).trim()) ?? [];
    if (code === undefined) throw new Error(`${symbol.name}: an @example that is not one block of TypeScript`);
    return code;
  });
}

/** Type errors of modules, by file name and line. */
function typeErrors(modules: ReadonlyMap<string, string>): string[] {
  // They are in the package's folder, so that they resolve what it resolves, and only in memory.
  const files = new Map([...modules].map(([name, code]) => [`${ROOT}tests/example-${name}.ts`, code]));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.readFile = (path) => files.get(path) ?? readFile(path);
  host.getSourceFile = (path, language, ...rest) =>
    files.has(path)
      ? ts.createSourceFile(path, files.get(path)!, language)
      : (entryProgram.getSourceFile(path) ?? getSourceFile(path, language, ...rest));
  const program = ts.createProgram([...files.keys()], options, host);
  return [...files.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)!;
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ start = 0, messageText }) =>
        `${path}:${file.getLineAndCharacterOfPosition(start).line + 1}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
    );
  });
}

describe("the stable core", () => {
  test("exports these names, and no other", () => {
    const isFunction = (flags: ts.SymbolFlags): boolean => (flags & ts.SymbolFlags.Function) !== 0;
    const isType = (flags: ts.SymbolFlags): boolean => (flags & ts.SymbolFlags.Value) === 0;
    expect(namesWith(core, isFunction)).toEqual(namesOf(FUNCTIONS));
    expect(namesWith(core, (flags) => !isFunction(flags) && !isType(flags))).toEqual(namesOf(VALUES));
    expect(namesWith(core, isType)).toEqual(namesOf(TYPES));
  });

  test("shares no name with the internals", () => {
    expect([...internals.keys()].filter((name) => core.has(name))).toEqual([]);
  });

  test("has an example for every function, and every example type-checks", () => {
    const without = namesWith(core, (flags) => (flags & CALLABLE) !== 0).filter(
      (name) => examplesOf(core.get(name)!).length === 0,
    );
    expect(without).toEqual([]);
    const examples = [...core, ...internals].flatMap(([name, symbol]) =>
      examplesOf(symbol).map((code, index) => [`${name}-${index}`, code] as const),
    );
    expect(typeErrors(new Map(examples))).toEqual([]);
    expect(typeErrors(new Map([["wrong", 'import { pruneModel } from "cusprun";\nawait pruneModel({});']]))).toHaveLength(1);
  });

  test("is named as such in the README", () => {
    const readme = readFileSync(join(ROOT, "README.md"), "utf8");
    expect(readme).toMatch(/`cusprun`.*\bstable\b/);
    expect(readme).toContain("`cusprun/internals`");
  });
});

describe.each(["bench", "examples"])("programs in %s", (folder) => {
  const names = existsSync(join(ROOT, folder)) ? readdirSync(join(ROOT, folder)).filter((name) => name.endsWith(".mjs")) : [];
  const programs = names.map((name) => ({ name, text: readFileSync(join(ROOT, folder, name), "utf8") }));

  test("use of dist only the command, as a child process", () => {
    const paths = programs.flatMap(({ name, text }) =>
      [...text.matchAll(/["'`][^"'`\s]*\bdist\/[^"'`\s]*/g)].map(([path]) => `${name}: ${path.slice(1)}`),
    );
    expect(paths.filter((path) => !path.endsWith(": ../dist/cli/main.js"))).toEqual([]);
    expect(programs.filter(({ text }) => /(?:from|import)\s*\(?\s*["'`][^"'`]*\bdist\//.test(text))).toEqual([]);
  });

  test("import what the entry points export", () => {
    const missing = programs.flatMap(({ name, text }) =>
      [...text.matchAll(/import \{([^}]*)\} from "(cusprun(?:\/[^"]*)?)"/g)].flatMap(([, list = "", entry = ""]) => {
        const symbols = { cusprun: core, "cusprun/internals": internals }[entry];
        const imported = list.split(",").map((each) => each.trim().replace(/ as .*/, ""));
        return imported
          .filter((each) => each !== "" && !isValue(symbols?.get(each)))
          .map((each) => `${name}: ${each} of ${entry}`);
      }),
    );
    expect(missing).toEqual([]);
  });
});

function isValue(symbol: ts.Symbol | undefined): boolean {
  return symbol !== undefined && (symbol.flags & ts.SymbolFlags.Value) !== 0;
}
