import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HashSet;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The contest's job as a Kafka Streams program: one processor, one RocksDB store with its changelog, exactly_once_v2.
 *
 * <p>Bytes in, bytes out, one streaming pass over the change, no serdes or objects of rows: what its authors would call fast.
 * Arguments: application, bootstrap, source, target, commit interval in ms, state directory, number of cN columns to mask, and
 * optionally a group.instance.id.
 */
public final class Customers {
    private static final String STORE = "positions";
    private static final byte[] SALT = "usecase-09-03-salt".getBytes(StandardCharsets.UTF_8);
    private static final byte[] DIGITS = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);
    private static final JsonFactory JSON = new JsonFactory();

    private static final class Mask implements Processor<byte[], byte[], byte[], byte[]> {
        private final Set<String> hashed = new HashSet<>(Set.of("email", "phone"));
        private final ByteArrayOutputStream out = new ByteArrayOutputStream(4096);
        private final byte[] hex = new byte[64];
        private MessageDigest sha256;
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<Bytes, Long> positions;

        Mask(int masked) {
            for (int n = 0; n < masked; n++) {
                hashed.add("c" + n);
            }
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            positions = context.getStateStore(STORE);
            try {
                sha256 = MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            if (record.value() == null) {
                return;
            }
            try {
                if (mask(Bytes.wrap(record.key()), record.value())) {
                    context.forward(record.withValue(out.toByteArray()));
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        /** Leaves the row in out. Where it is to come from `before`, that is gone through again once the operation is known. */
        private boolean mask(Bytes key, byte[] value) throws IOException {
            out.reset();
            long lsn = -1;
            String operation = null;
            int begin = 0;
            int end = 0;
            JsonGenerator row = null;
            try (JsonParser parser = JSON.createParser(value)) {
                parser.nextToken();
                String name;
                while ((name = parser.nextFieldName()) != null) {
                    JsonToken token = parser.nextToken();
                    switch (name) {
                        case "before" -> {
                            begin = (int) parser.currentTokenLocation().getByteOffset();
                            parser.skipChildren();
                            end = (int) parser.currentLocation().getByteOffset();
                        }
                        case "after" -> {
                            if (token == JsonToken.START_OBJECT) {
                                row = JSON.createGenerator(out);
                                copy(parser, row);
                            }
                        }
                        case "source" -> {
                            String inner;
                            while ((inner = parser.nextFieldName()) != null) {
                                parser.nextToken();
                                if (inner.equals("lsn")) {
                                    lsn = parser.getLongValue();
                                } else {
                                    parser.skipChildren();
                                }
                            }
                        }
                        case "op" -> operation = parser.getText();
                        default -> parser.skipChildren();
                    }
                }
            }
            if (operation == null || lsn < 0) {
                throw new IOException("no op or no lsn");
            }
            Long last = positions.get(key);
            if (last != null && lsn <= last) {
                if (row != null) {
                    row.close();
                }
                return false;
            }
            positions.put(key, lsn);
            boolean deleted = operation.equals("d");
            if (deleted) {
                out.reset();
                row = JSON.createGenerator(out);
                try (JsonParser parser = JSON.createParser(value, begin, end - begin)) {
                    parser.nextToken();
                    copy(parser, row);
                }
            }
            row.writeNumberField("cdc_lsn", lsn);
            row.writeNumberField("_deleted", deleted ? 1 : 0);
            row.writeEndObject();
            row.close();
            return true;
        }

        /** Copies the object that the parser stands at, masked, and leaves it open. */
        private void copy(JsonParser parser, JsonGenerator row) throws IOException {
            row.writeStartObject();
            String name;
            while ((name = parser.nextFieldName()) != null) {
                JsonToken token = parser.nextToken();
                if (name.equals("birth_date") || name.equals("notes")) {
                    parser.skipChildren();
                    continue;
                }
                row.writeFieldName(name);
                if (token == JsonToken.VALUE_STRING && name.equals("full_name")) {
                    row.writeString(shortened(parser.getText()));
                } else if (token == JsonToken.VALUE_STRING && hashed.contains(name)) {
                    hash(parser.getText());
                    row.writeRawUTF8String(hex, 0, hex.length);
                } else {
                    row.copyCurrentStructureExact(parser);
                }
            }
        }

        private void hash(String text) {
            sha256.update(SALT);
            byte[] digest = sha256.digest(text.getBytes(StandardCharsets.UTF_8));
            for (int i = 0; i < digest.length; i++) {
                hex[2 * i] = DIGITS[digest[i] >> 4 & 15];
                hex[2 * i + 1] = DIGITS[digest[i] & 15];
            }
        }

        private static String shortened(String name) {
            String[] words = name.strip().split("\\s+", 3);
            String initialOf = words[words.length > 1 ? 1 : 0];
            if (initialOf.isEmpty()) {
                return "";
            }
            String initial = initialOf.substring(0, initialOf.offsetByCodePoints(0, 1));
            return (words.length > 1 ? words[0] : "") + initial + ".";
        }
    }

    private static Properties settings(String[] args) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[0]);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[4]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, args[5]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        // What was measured to make it faster; at its defaults it is slower.
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 2000);
        settings.put("main.consumer.max.poll.records", 2000);
        settings.put("producer.compression.type", "lz4");
        settings.put("producer.linger.ms", Math.min(100, Integer.parseInt(args[4])));
        settings.put("producer.batch.size", 256 << 10);
        settings.put("producer.buffer.memory", 64L << 20);
        if (args.length > 7) {
            settings.put("main.consumer.group.instance.id", args[7]);
        }
        return settings;
    }

    public static void main(String[] args) throws InterruptedException {
        int masked = Integer.parseInt(args[6]);
        Topology topology = new Topology();
        topology.addSource("changes", new ByteArrayDeserializer(), new ByteArrayDeserializer(), args[2]);
        topology.addProcessor("mask", () -> new Mask(masked), "changes");
        // Without its record cache: keys seldom come twice in an interval, and it then costs more than it saves.
        topology.addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.Bytes(), Serdes.Long())
                        .withLoggingEnabled(Map.of())
                        .withCachingDisabled(),
                "mask");
        topology.addSink("rows", args[3], new ByteArraySerializer(), new ByteArraySerializer(), "mask");

        KafkaStreams streams = new KafkaStreams(topology, settings(args));
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(
                error -> {
                    error.printStackTrace();
                    ended.countDown();
                    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
                });
        streams.setGlobalStateRestoreListener(
                new StateRestoreListener() {
                    @Override
                    public void onRestoreStart(TopicPartition changelog, String store, long from, long end) {}

                    @Override
                    public void onBatchRestored(TopicPartition changelog, String store, long end, long records) {}

                    @Override
                    public void onRestoreEnd(TopicPartition changelog, String store, long records) {
                        System.err.println("restored records=" + records);
                    }
                });
        Runtime.getRuntime()
                .addShutdownHook(
                        new Thread(
                                () -> {
                                    streams.close(Duration.ofSeconds(15));
                                    ended.countDown();
                                }));
        streams.start();
        ended.await();
    }
}
