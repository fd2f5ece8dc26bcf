"""Classes and functions that a written module's text begins with, where its layers need them.

They are text, since the module is to run without netc. What they compute is that of the ops of the
same names in netc.ops; the proof of an export runs both.
"""

from __future__ import annotations

HELPERS: dict[str, str] = {
    "Factor": '''class Factor(nn.Module):
    """Caffe's Scale and Bias: a factor and a summand of some axes."""

    def __init__(self, shape, weight=True, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape)) if weight else None
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x):
        x = x if self.weight is None else x * self.weight
        return x if self.bias is None else x + self.bias
''',
    "Constant": '''class Constant(nn.Module):
    """Numbers that depend on shapes alone, or on nothing."""

    def __init__(self, shape):
        super().__init__()
        self.register_buffer("value", torch.zeros(shape))

    def forward(self):
        return self.value
''',
    "greatest": '''def greatest(x, k, axis):
    """Indices of the k greatest along an axis; of equal ones the last comes first, as in Caffe."""
    order = torch.argsort(x.flip(axis), dim=axis, descending=True, stable=True)
    return x.shape[axis] - 1 - order.narrow(axis, 0, k)
''',
    "Recurrent": '''class Recurrent(nn.Module):
    """Caffe's LSTM and RNN; x is (steps, streams, ...), cont is 0 where a sequence begins."""

    def __init__(self, inputs, hidden, gates, static=0):
        super().__init__()
        self.hidden, self.gates = hidden, gates
        self.input = nn.Linear(inputs, gates * hidden)
        self.static = nn.Linear(static, gates * hidden, bias=False) if static else None
        self.recurrent = nn.Linear(hidden, gates * hidden, bias=False)
        self.output = nn.Linear(hidden, hidden) if gates == 1 else None

    def forward(self, x, cont, static=None, states=None):
        driven = self.input(x.flatten(2))
        if static is not None:
            driven = driven + self.static(static.flatten(1))
        if states is None:
            states = [x.new_zeros(1, x.shape[1], self.hidden)] * 2
        hidden, cell = states[0][0], states[-1][0]
        rows = []
        for units, kept in zip(driven, cont[..., None]):
            units = self.recurrent(kept * hidden) + units
            if self.gates == 1:
                hidden = torch.tanh(units)
            else:
                gate, forget, out, new = units.chunk(4, dim=-1)
                cell = torch.sigmoid(gate) * torch.tanh(new) + kept * torch.sigmoid(forget) * cell
                hidden = torch.sigmoid(out) * torch.tanh(cell)
            rows.append(hidden)
        y = torch.stack(rows)
        return y if self.output is None else torch.tanh(self.output(y)), hidden[None], cell[None]
''',
    "roi_pooling": '''def roi_pooling(x, regions, high, wide, scale, pad=0.0):
    """Fast R-CNN's ROIPooling: the maximum of each bin of each region."""

    def rounded(values):
        return torch.copysign((values.abs() + 0.5).floor(), values)

    def bins(start, size, number, limit):
        at = torch.arange(number + 1, dtype=x.dtype, device=x.device)
        each = size / number
        first = (at[:-1] * each).floor() + start
        last = (at[1:] * each).ceil() + start
        return [v.clamp(0, limit).long().tolist() for v in (first, last)]

    found = []
    for region in regions.reshape(-1, 5):
        box = region[1:]
        if pad:
            side = (box[2:] - box[:2] + 1) * pad
            box = torch.cat([box[:2] - side, box[2:] + side])
        corners = rounded(box * scale)
        size = (corners[2:] - corners[:2] + 1).clamp(min=1)
        rows = list(zip(*bins(corners[1], size[1], high, x.shape[2])))
        columns = list(zip(*bins(corners[0], size[0], wide, x.shape[3])))
        image = x[int(region[0])]
        nothing = x.new_zeros(x.shape[1])
        cells = [
            image[:, top:end, left:right].amax((1, 2)) if top < end and left < right else nothing
            for top, end in rows
            for left, right in columns
        ]
        found.append(torch.stack(cells, 1).reshape(-1, high, wide))
    return torch.stack(found) if found else x.new_zeros(0, x.shape[1], high, wide)
''',
    "DetectionOutput": '''class DetectionOutput(nn.Module):
    """SSD's DetectionOutput: rows of image, class, score and box, (1, 1, rows, 7)."""

    def __init__(self, classes, shared, background, code, scaled, keep, score, overlap, eta, top):
        super().__init__()
        self.classes, self.shared, self.background = classes, shared, background
        self.code, self.scaled, self.keep, self.score = code, scaled, keep, score
        self.overlap, self.eta, self.top = overlap, eta, top

    def forward(self, location, confidence, priors):
        images = location.shape[0]
        prior, variance = priors.reshape(-1)[: 2 * priors.shape[2]].reshape(2, -1, 1, 4)
        number = prior.shape[0]
        scores = confidence.reshape(images, number, self.classes)
        coded = location.reshape(images, number, 1 if self.shared else self.classes, 4)
        boxes = self.decoded(coded if self.scaled else coded * variance, prior)
        boxes = boxes.expand(images, number, self.classes, 4)
        found = [self.of_image(i, scores[i], boxes[i]) for i in range(images)]
        rows = torch.cat(found) if found else location.new_zeros(0, 7)
        if not len(rows):
            rows = location.new_full((images, 7), -1)
            rows[:, 0] = torch.arange(images)
        return rows.reshape(1, 1, -1, 7)

    def decoded(self, coded, prior):
        if self.code == "CORNER":
            return prior + coded
        size = prior[..., 2:] - prior[..., :2]
        if self.code == "CORNER_SIZE":
            return prior + coded * torch.cat([size, size], -1)
        centre = coded[..., :2] * size + (prior[..., :2] + prior[..., 2:]) / 2
        half = coded[..., 2:].exp() * size / 2
        return torch.cat([centre - half, centre + half], -1)

    def of_image(self, image, scores, boxes):
        rows = [
            self.of_class(image, label, scores[:, label], boxes[:, label])
            for label in range(self.classes)
            if label != self.background
        ]
        found = torch.cat(rows) if rows else scores.new_zeros(0, 7)
        if -1 < self.keep < len(found):
            best = torch.argsort(found[:, 2], descending=True, stable=True)[: self.keep]
            found = found[best.sort().values]
        return found

    def of_class(self, image, label, scores, boxes):
        order = torch.argsort(scores, descending=True, stable=True)
        if self.score is not None:
            order = order[scores[order] > self.score]
        if self.top > -1:
            order = order[: self.top]
        order = order[self.kept(boxes[order])]
        named = scores.new_tensor([image, label]).expand(len(order), 2)
        return torch.cat([named, scores[order, None], boxes[order]], 1)

    def kept(self, boxes):
        """Non-maximum suppression; the overlap allowed shrinks by eta while it is above 0.5."""
        sides = boxes[:, 2:] - boxes[:, :2]
        area = torch.where((sides < 0).any(1), 0, sides.prod(1))
        worst, limit, chosen = boxes.new_zeros(len(boxes)), self.overlap, []
        for at in range(len(boxes)):
            if not worst[at] <= limit:
                continue
            chosen.append(at)
            if self.eta < 1 and limit > 0.5:
                limit *= self.eta
            low = torch.maximum(boxes[at, :2], boxes[:, :2])
            high = torch.minimum(boxes[at, 2:], boxes[:, 2:])
            common = (high - low).clamp(min=0).prod(1)
            union = area[at] + area - common
            over = torch.where(common > 0, common / union, 0)
            worst = torch.maximum(worst, over)
        return chosen
''',
}
"""Name -> text of a class or function; they are written in this order."""
