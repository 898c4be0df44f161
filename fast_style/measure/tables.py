"""Measurements as lines of text and cells of tables."""


def likeness_table(figures: dict[str, dict | None]) -> str:
    """Returns the figures of compare() as lines of text; '-' for those of older versions."""
    width = max(len(label) for label in figures)
    lines = [f"{'':{width}}  strokes  on each level, fine to coarse  palette  scene"]
    for label, of_label in figures.items():
        strokes, levels, palette, scene = likeness_cells(of_label)
        lines.append(f"{label:{width}}  {strokes:>7}  {levels:>29}  {palette:>7}  {scene:>5}")
    return "\n".join(lines)


def likeness_cells(figures: dict | None) -> tuple[str, str, str, str]:
    """Returns strokes, strokes on each level, palette and scene as texts such as 0.52, or '-'."""
    if figures is None:
        return ("-",) * 4
    levels = " ".join(f"{level:.2f}" for level in figures["strokes_by_level"])
    strokes, palette, scene = (figures[name] for name in ("strokes", "palette", "scene"))
    return f"{strokes:.2f}", levels, f"{palette:.2f}", f"{scene:.2f}"


def table(measured: dict[str, dict]) -> str:
    """Returns the figures of measure() at each size, by label, as lines of text."""
    width = max(8, *(len(label) for label in measured))
    rows = [
        (f"{label:{width}}  {size:>4}", at)
        for label, one in measured.items()
        for size, at in one["sizes"].items()
    ]
    head = f"{'model':{width}}  size"
    lines = [f"{head}  grid (photo)   frame  blotched  pass, s"]
    for label, at in rows:
        art = at["artefacts"]
        lines.append(
            f"{label}  {art['grid']:5.2f} ({art['grid_of_content']:.2f})  {art['frame']:6.1f}"
            f"  {art['blotched']:8.2%}  {at['seconds_per_pass']:7.3f}"
        )
    slow = [(label, at) for label, at in rows if "lbfgs_from" in at]
    if slow:
        terms = list(dict.fromkeys(name for _, at in slow for name in at["network"]))
        columns = "".join(f"  {name:>8}" for name in terms)
        lines.append("")
        lines.append(f"{head}{columns}  L-BFGS from noise/content  times faster")
    for label, at in slow:
        means = [at["network"].get(name, {}).get("mean") for name in terms]
        columns = "".join(f"  {'-' if mean is None else f'{mean:.4g}':>8}" for mean in means)
        equals = " / ".join(
            iterations_in_words(at["lbfgs_from"][name]) for name in ("noise", "content")
        )
        lines.append(f"{label}{columns}  {equals:>25}  {at['times_faster']:>12,.0f}")
    return "\n".join(lines)


def iterations_in_words(slow: dict) -> str:
    """Returns the iterations of L-BFGS from one start, as 13, or 'at least 200' if too few ran."""
    more = "at least " if slow["equals_iterations"] >= len(slow["totals"]) - 1 else ""
    return f"{more}{slow['equals_iterations']:.0f}"
