// Recording of streams into graphs, by the rules of the programming guide's chapter on CUDA graphs.
#include "fake.h"

namespace fake {

static std::vector<std::shared_ptr<Capture>> active() {
    std::set<std::shared_ptr<Capture>> found;
    for (Stream* stream : live<Stream>())
        if (stream->capture) found.insert(stream->capture);
    return {found.begin(), found.end()};
}

int refuse_while_capturing(Stream& stream) {
    if (int refused = refuse_legacy(stream)) return refused;
    if (!stream.capture) return success;
    stream.capture->invalid = true;
    return capture_unsupported;
}

int refuse_unsafe() {
    for (auto& capture : active()) {
        bool own = capture->thread == std::this_thread::get_id();
        if (capture->mode == 0 || (capture->mode == 1 && own)) {
            capture->invalid = true;
            return capture_unsupported;
        }
    }
    return success;
}

int refuse_device_wait() {
    auto all = active();
    for (auto& capture : all) capture->invalid = true;
    return all.empty() ? success : capture_unsupported;
}

// The legacy stream may not be used while it would have to wait for a stream that is recorded.
int refuse_legacy(const Stream& stream) {
    if (&stream != &legacy(stream.device)) return success;
    for (Stream* other : live<Stream>())
        if (other->capture && other->blocking && other->device == stream.device) {
            other->capture->invalid = true;
            return capture_implicit;
        }
    return success;
}

int begin_capture(Stream& stream, int mode) {
    if (&stream == &legacy(stream.device)) return capture_unsupported;
    if (stream.capture) return illegal_state;
    stream.capture = std::make_shared<Capture>(
        Capture{&stream, mode, std::this_thread::get_id(), {}, {&stream}});
    stream.at.clear();
    return success;
}

static void close(const Node& node, const std::vector<Node>& nodes, std::set<int>& found) {
    std::vector<int> next(node.after.begin(), node.after.end());
    while (!next.empty()) {
        int index = next.back();
        next.pop_back();
        if (found.insert(index).second)
            next.insert(next.end(), nodes[index].after.begin(), nodes[index].after.end());
    }
}

// Whether all that other streams recorded comes before what the first stream would do next.
static bool joined(const Capture& capture) {
    std::set<int> reached;
    close({"", nullptr, capture.origin->at}, capture.nodes, reached);
    for (Stream* stream : capture.streams)
        if (is_live(stream) && stream->capture.get() == &capture)
            for (int index : stream->at)
                if (!reached.count(index)) return false;
    return reached.size() == capture.nodes.size();
}

int end_capture(Stream& stream, Graph** graph) {
    *graph = nullptr;
    auto capture = stream.capture;
    if (!capture) return illegal_state;
    if (capture->origin != &stream) {
        capture->invalid = true;
        return capture_unmatched;
    }
    if (capture->mode != 2 && capture->thread != std::this_thread::get_id())
        return capture_wrong_thread;
    int status = capture->invalid ? capture_invalidated
                 : joined(*capture) ? success
                                    : capture_unjoined;
    for (Stream* other : capture->streams)
        if (is_live(other) && other->capture == capture)
            other->capture = nullptr, other->at.clear();
    (status == success ? counts.recorded : counts.refused)++;
    if (status == success) live<Graph>().insert(*graph = new Graph{capture->nodes});
    capture->invalid = true;  // events recorded in it are of no more use
    return status;
}

int record(Event& event, Stream& stream) {
    if (int refused = refuse_legacy(stream)) return refused;
    if (stream.capture) {
        if (stream.capture->invalid) return capture_invalidated;
        event.capture = stream.capture;
        event.at = stream.at;
        return success;
    }
    event.capture = nullptr;
    event.time = std::make_shared<double>(0);
    auto time = event.time;
    int status = submit(stream, "event", [time] { *time = now(); });
    event.work = stream.tail;
    return status;
}

static int wait_captured(Stream& stream, Event& event) {
    auto& capture = event.capture;
    if (stream.capture && stream.capture != capture) {
        stream.capture->invalid = capture->invalid = true;
        return capture_merge;
    }
    if (capture->invalid) return capture_invalidated;
    if (&stream == &legacy(stream.device)) {
        capture->invalid = true;
        return capture_implicit;
    }
    stream.capture = capture;
    capture->streams.insert(&stream);
    stream.at.insert(event.at.begin(), event.at.end());
    return success;
}

int wait(Stream& stream, Event& event) {
    if (int refused = refuse_legacy(stream)) return refused;
    if (event.capture) return wait_captured(stream, event);
    if (stream.capture) {
        if (!event.work) return success;  // never recorded
        stream.capture->invalid = true;
        return capture_isolation;
    }
    if (!event.work) return success;
    Work work = event.work;
    int status = submit(stream, "wait", [] {});
    if (status == success && !work->done) stream.tail->after.push_back(work);
    return status;
}

int launch(Started& graph, Stream& stream) {
    if (stream.capture) die("a graph within a graph is not known here");
    int status = submit(stream, "graph begins", [] {});
    if (status) return status;
    counts.launched++;
    Work begin = stream.tail;
    if (graph.last && !graph.last->done) begin->after.push_back(graph.last);
    std::vector<Work> works;
    for (const Node& node : graph.nodes) {
        auto work = std::make_shared<Op>(Op{node.what, node.run, {begin}});
        for (int index : node.after) work->after.push_back(works[index]);
        works.push_back(work);
    }
    status = submit(stream, "graph ends", [] {});
    stream.tail->after.insert(stream.tail->after.end(), works.begin(), works.end());
    graph.last = stream.tail;
    return status;
}

}  // namespace fake
