import { describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { howToLoadWeights } from "../../src/export/hugging-face/write-hugging-face.ts";
import { licenseOfReadme } from "../../src/export/base-license.ts";
import { modelCard } from "../../src/export/model-card.ts";
import type { CardOutput, WrittenPart } from "../../src/export/model-card.ts";
import { cardInput } from "../support/cards.ts";
import { planOf } from "../support/plans.ts";
import { tinyModel } from "../support/tiny-models.ts";

const { config } = tinyModel("llama");
const plan = planOf("uniform", [{ ffn: [1, 2] }, { ffn: [3, 4] }, { ffn: [0, 5] }], {
  weights: { language: 1, domain: 2 },
  overlap: { "language∩domain": 0.61234 },
  parameters: { total: 20_580, blocks: 17_670, requested: 600, removed: 540 },
});
const weights: WrittenPart = {
  files: ["model.safetensors"],
  label: "weights in BF16",
  bytes: { before: 41_160, after: 40_080 },
  library: "transformers",
  howToLoad: howToLoadWeights(true, null),
  limitations: [],
};
const output: CardOutput = { config, parts: [weights] };

describe("modelCard", () => {
  it("describes a pruned model", () => {
    expect(modelCard(cardInput(config), plan, output)).toMatchSnapshot();
  });

  it("describes a masked model of a quantised file without an id, a licence or a tokenizer", () => {
    const masked = planOf("masked", [{ ffn: [1, 2], head: [0] }, {}, { ffn: [0] }]);
    const input = cardInput(config, { baseModelId: null, license: null, languages: [] });
    expect(
      modelCard(input, masked, {
        ...output,
        parts: [
          { ...weights, howToLoad: howToLoadWeights(false, null), limitations: ["The base model's weights were quantised."] },
        ],
      }),
    ).toMatchSnapshot();
  });

  it("mentions the config of another family", () => {
    const cut = { ...output, config: { ...config, family: "mistral" as const, numAttentionHeads: 4 } };
    expect(modelCard(cardInput(config), plan, cut)).toContain("config.json says `mistral` instead of `llama`");
  });

  it("reveals no local path", () => {
    expect(modelCard(cardInput(config, { baseModelId: null }), plan, output)).not.toContain("somebody");
  });

  it("escapes names in lines, cells and front matter", () => {
    const evil = "x |\n## injected <script>\n---\nlicense: mit";
    const text = modelCard(
      cardInput(config, {
        title: evil,
        baseModelName: evil,
        baseModelId: null,
        corpora: [{ ...cardInput(config).corpora[0]!, label: evil, sources: [evil] }],
      }),
      plan,
      output,
    );
    expect(text).not.toContain("\n## injected");
    expect(text).not.toContain("<script>");
    expect(
      text
        .split("\n")
        .filter((line) => line.startsWith("| language"))
        .every((line) => line.split("|").length === 9),
    ).toBe(true);
    expect(parse(text.split("---\n")[1]!)).toMatchObject({ license: "apache-2.0", tags: ["cusprun", "pruned"] });
  });
});

describe("licenseOfReadme", () => {
  it.each([
    ["---\nlicense: apache-2.0\ntags: [x]\n---\n# Model", "apache-2.0"],
    ["\uFEFF---\r\nlicense: llama3.1\r\n---\r\n", "llama3.1"],
    ["# No front matter\nlicense: mit", null],
    ["---\nlicense: [mit]\n---", null],
    ["---\nlicense: 'see <b>'\n---", null],
    ["---\na: &a [x]\nb: [*a, *a]\nlicense: mit\n---", null],
    ["---\nlicense: : :\n  - broken\n---", null],
    ["", null],
  ])("%j → %s", (readme, license) => {
    expect(licenseOfReadme(readme)).toBe(license);
  });

  it("warns of nothing: a warning would reach the user's screen", () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    expect(licenseOfReadme("---\n? [a, b]\n: 1\nlicense: mit\n---")).toBe("mit");
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
  });
});
