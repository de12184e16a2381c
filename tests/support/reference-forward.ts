/**
 * @file A decoder's forward pass in plain loops and f64, for tests: config.json + tensors + token ids → logits. Written
 * from transformers' modelling files (5.23: llama, mistral, qwen2, qwen3, gemma3 text) and shares no code with cusprun,
 * not even its reading of config.json, so that a wrong config key shows.
 */

/** A tensor by Hugging Face's name, [out, in] row-major. */
export interface ReferenceTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array | Float64Array;
}

type Json = Readonly<Record<string, unknown>>;
type Vector = Float64Array<ArrayBuffer>;

const num = (config: Json, key: string, otherwise?: number): number => {
  const value = config[key] ?? otherwise;
  if (typeof value !== "number") throw new Error(`config.json: ${key} is ${JSON.stringify(value)}`);
  return value;
};

/** The family's, also where layers differ in size. */
function modelType(config: Json): string {
  return String(config["model_type"]).replace("cusprun_ragged_", "");
}

/**
 * Logits of every position, [T, V] as T rows.
 * @param onInput receives every vector that a block's matrix multiplies, with the matrix' name.
 * @param skipped layers that are passed over.
 */
export function referenceLogits(
  config: Json,
  tensors: ReadonlyMap<string, ReferenceTensor>,
  ids: readonly number[],
  onInput: (name: string, x: Vector) => void = () => undefined,
  skipped: readonly number[] = [],
): Vector[] {
  const get = (name: string): ReferenceTensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    return tensor;
  };
  const gemma = modelType(config).startsWith("gemma3");
  const D = num(config, "hidden_size");
  const eps = num(config, "rms_norm_eps");
  const norm = (x: Vector, name: string): Vector => rmsNorm(x, get(name).values, eps, gemma ? 1 : 0);

  const embedding = get("model.embed_tokens.weight");
  let stream = ids.map((id) =>
    Float64Array.from(embedding.values.subarray(id * D, (id + 1) * D), (value) => value * (gemma ? Math.sqrt(D) : 1)),
  );
  for (let layer = 0; layer < num(config, "num_hidden_layers"); layer++) {
    if (skipped.includes(layer)) continue;
    const block = `model.layers.${layer}`;
    const linear = (x: Vector, name: string): Vector => {
      onInput(`${block}.${name}.weight`, x);
      return project(x, get(`${block}.${name}.weight`), tensors.get(`${block}.${name}.bias`));
    };

    // Norms are before the sublayers, after them too (Gemma 3), or after them only (OLMo 2): a norm without a tensor is
    // not applied.
    const optionalNorm = (x: Vector, name: string): Vector =>
      tensors.has(`${block}.${name}.weight`) ? norm(x, `${block}.${name}.weight`) : x;
    const hasPostNorms = tensors.has(`${block}.post_feedforward_layernorm.weight`);

    const normed = stream.map((x) => optionalNorm(x, "input_layernorm"));
    let attended = attention(config, layer, normed, linear, (x, name) => optionalNorm(x, `self_attn.${name}`));
    if (hasPostNorms) attended = attended.map((x) => norm(x, `${block}.post_attention_layernorm.weight`));
    stream = stream.map((x, t) => add(x, attended[t]!));

    const ffnNorm = hasPostNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm";
    stream = stream.map((x) => {
      const input = optionalNorm(x, ffnNorm);
      const gate = linear(input, "mlp.gate_proj");
      const up = linear(input, "mlp.up_proj");
      const act = gemma ? geluTanh : silu;
      const out = linear(
        gate.map((value, j) => act(value) * up[j]!),
        "mlp.down_proj",
      );
      return add(x, optionalNorm(out, "post_feedforward_layernorm"));
    });
  }
  const head = config["tie_word_embeddings"] === true ? embedding : get("lm_head.weight");
  return stream.map((x) => project(norm(x, "model.norm.weight"), head, undefined));
}

function attention(
  config: Json,
  layer: number,
  inputs: readonly Vector[],
  linear: (x: Vector, name: string) => Vector,
  headNorm: (x: Vector, name: "q_norm" | "k_norm") => Vector,
): Vector[] {
  const sizes = (config["layer_widths"] as readonly Json[] | undefined)?.[layer] ?? config;
  const H = num(sizes, "num_attention_heads");
  const G = num(sizes, "num_key_value_heads", H);
  const K = num(config, "head_dim", num(config, "hidden_size") / H);
  const layerTypes = config["layer_types"] as readonly string[] | undefined;
  const slides =
    layerTypes?.[layer] === "sliding_attention" || (modelType(config) === "mistral" && config["sliding_window"] !== null);
  const window = slides ? num(config, "sliding_window") : Infinity;
  const scale = 1 / Math.sqrt(num(config, "query_pre_attn_scalar", K));
  const frequencies = inverseFrequencies(config, K, slides);

  const heads = (x: Vector, count: number): Vector[] => Array.from({ length: count }, (_, h) => x.slice(h * K, (h + 1) * K));
  const queries = inputs.map((x, t) =>
    heads(linear(x, "self_attn.q_proj"), H).map((q) => rotate(headNorm(q, "q_norm"), t, frequencies)),
  );
  const keys = inputs.map((x, t) =>
    heads(linear(x, "self_attn.k_proj"), G).map((k) => rotate(headNorm(k, "k_norm"), t, frequencies)),
  );
  const values = inputs.map((x) => heads(linear(x, "self_attn.v_proj"), G));

  return inputs.map((_, t) => {
    const joined = new Float64Array(H * K);
    for (let h = 0; h < H; h++) {
      const group = Math.floor(h / (H / G));
      const first = Math.max(0, t - window + 1);
      const scores: number[] = [];
      for (let s = first; s <= t; s++) scores.push(scale * dot(queries[t]![h]!, keys[s]![group]!));
      const largest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - largest));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      weights.forEach((weight, s) => {
        for (let i = 0; i < K; i++) joined[h * K + i]! += (weight / total) * values[first + s]![group]![i]!;
      });
    }
    return linear(joined, "self_attn.o_proj");
  });
}

/** K/2 inverse frequencies; llama3's scaling as in transformers' `_compute_llama3_parameters`. */
function inverseFrequencies(config: Json, K: number, slides: boolean): Vector {
  const theta = slides ? num(config, "rope_local_base_freq", num(config, "rope_theta")) : num(config, "rope_theta");
  const plain = Float64Array.from({ length: K / 2 }, (_, p) => theta ** ((-2 * p) / K));
  const scaling = config["rope_scaling"] as Json | null | undefined;
  if (scaling === null || scaling === undefined) return plain;
  if (scaling["rope_type"] !== "llama3") throw new Error("the reference knows rope scaling llama3 only");
  const [factor, low, high, original] = ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"].map(
    (key) => num(scaling, key),
  ) as [number, number, number, number];
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return frequency / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return (1 - smooth) * (frequency / factor) + smooth * frequency;
  });
}

function rotate(x: Vector, position: number, frequencies: Vector): Vector {
  const half = frequencies.length;
  const out = new Float64Array(2 * half);
  for (let p = 0; p < half; p++) {
    const [sin, cos] = [Math.sin(position * frequencies[p]!), Math.cos(position * frequencies[p]!)];
    out[p] = x[p]! * cos - x[p + half]! * sin;
    out[p + half] = x[p + half]! * cos + x[p]! * sin;
  }
  return out;
}

function rmsNorm(x: Vector, weight: ReferenceTensor["values"], eps: number, offset: number): Vector {
  if (weight.length !== x.length) throw new Error(`norm of ${weight.length} on ${x.length}`);
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => value * scale * (offset + weight[i]!));
}

function project(x: Vector, weight: ReferenceTensor, bias: ReferenceTensor | undefined): Vector {
  const [out, input] = weight.shape as [number, number];
  if (input !== x.length || weight.values.length !== out * input) throw new Error(`[${weight.shape.join(", ")}] on ${x.length}`);
  if (bias !== undefined && bias.values.length !== out) throw new Error(`bias of ${bias.values.length} for ${out} rows`);
  const y = new Float64Array(out);
  for (let row = 0; row < out; row++) {
    let sum = bias === undefined ? 0 : bias.values[row]!;
    for (let i = 0; i < input; i++) sum += weight.values[row * input + i]! * x[i]!;
    y[row] = sum;
  }
  return y;
}

function dot(a: Vector, b: Vector): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function add(a: Vector, b: Vector): Vector {
  return a.map((value, i) => value + b[i]!);
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}
